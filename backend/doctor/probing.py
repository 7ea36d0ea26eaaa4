# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs what may fail, hang or crash in a child process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 180.0
"""Importing torch from a cold hard disk under a virus scanner takes minutes."""


@dataclass(frozen=True)
class Answer:
    """What a child said.

    Args:
        values: one for each line of JSON on its standard output.
        error: why it ended early, in a few words; empty where it did not.
    """

    values: tuple[Any, ...]
    error: str = ""


def ask(module: str, *arguments: str, patience: float = PATIENCE_SECONDS) -> Answer:
    """Runs `module.main(arguments)` in a fresh Python; it writes its answers as lines of JSON."""
    code = (
        "import importlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "importlib.import_module(sys.argv[2]).main(sys.argv[3:])\n"
    )
    command = [sys.executable, "-c", code, str(ROOT), module, *arguments]
    try:
        done = _run(command, patience, {**os.environ, "PYTHONUTF8": "1"})
    except subprocess.TimeoutExpired:
        return Answer((), f"no answer within {patience:.0f} seconds")
    except OSError as error:
        return Answer((), f"Python can't be started: {error.strerror or error}")
    return Answer(_values(done.stdout), "" if done.returncode == 0 else _reason(done.returncode, done.stderr))


def run_tool(*command: str, patience: float = 20.0) -> str | None:
    """What a program of the system prints; None where it is missing, hangs or fails."""
    try:
        done = _run(command, patience)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _run(
    command: Sequence[str], patience: float, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=patience,
        env=env,
    )


def _values(output: str) -> tuple[Any, ...]:
    """The lines that are JSON: a library may print what it likes in between."""
    found = []
    for line in output.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return tuple(found)


def _reason(code: int, said: str) -> str:
    """The last line of a traceback tells the error; a crash has none."""
    if code < 0:
        try:
            return f"it crashed with {signal.Signals(-code).name}"
        except ValueError:
            return f"it crashed with signal {-code}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"it ended with exit code {code & 0xFFFFFFFF:#x}"
