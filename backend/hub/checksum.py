# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file is the one that a hub announced."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from backend.errors import Cancelled
from backend.hub.progress import Meter, Report

_CHUNK = 4 * 2**20


def is_intact(path: Path, checksum: str, report: Report, cancelled: Callable[[], bool]) -> bool:
    """Whether `path` has the checksum: sha256 (64 hex digits), or git's sha1 of a blob (40).

    Read from the disk, so that it also finds what went wrong after the network. Raises Cancelled.
    """
    size = path.stat().st_size
    if re.fullmatch("[0-9a-f]{64}", checksum):
        digest = hashlib.sha256()
    else:
        # Git hashes "blob 123\0" and then the content.
        digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    meter = Meter("Checking the download", size, report)
    meter.start(0)
    done = 0
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            if cancelled():
                raise Cancelled
            digest.update(data)
            done += len(data)
            meter(done)
    return digest.hexdigest() == checksum
