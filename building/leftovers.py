# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends backends that outlived the Blender of a throw-away profile: it may have crashed, or been killed."""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

PATIENCE_SECONDS = 10.0


def stop_backends(profile: Path) -> int:
    """Ends every backend that announced itself below `profile` and returns how many there were."""
    found = 0
    for announcement in profile.rglob("service.json"):
        try:
            number = int(json.loads(announcement.read_text(encoding="utf-8"))["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found += _stop(number, announcement)
    return found


def _stop(number: int, announcement: Path) -> bool:
    """Asks first, so that the backend ends its worker. Once the announcement is gone, so is the backend."""
    try:
        os.kill(number, signal.SIGTERM)
    except OSError:
        return False
    limit = time.monotonic() + PATIENCE_SECONDS
    while announcement.exists() and time.monotonic() < limit:
        time.sleep(0.05)
    if announcement.exists():
        with contextlib.suppress(OSError):
            os.kill(number, getattr(signal, "SIGKILL", signal.SIGTERM))
    return True
