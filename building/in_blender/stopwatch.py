# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes how long each stage takes, while the add-on's progress bar goes by on its way to the terminal."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

TITLES = {
    "STARTING": "start of the backend",
    "QUEUED": "start of the worker",
    "load": "loading the model",
    "sample": "sampling views",
    "fit": "first shape",
    "distil": "distillation",
    "mesh": "mesh",
    "texture": "texture",
    "save": "saving",
    "PLACING": "import",
}


class Stopwatch:
    """Stands in for sys.stderr: the add-on writes there whenever its job has news: the moment to look."""

    encoding = "utf-8"

    def __init__(self, addon: str, terminal: TextIO, muted: Callable[[], bool]) -> None:
        """
        Args:
            addon: name of the add-on's package, enabled.
            terminal: where the progress bar goes.
            muted: whether nothing goes there any more: Blender would print the traceback of a Ctrl-C.
        """
        self._addon = addon
        self._terminal = terminal
        self._muted = muted
        self._starts = [("STARTING", time.monotonic())]

    def write(self, text: str) -> int:
        stage = self._stage()
        if stage != self._starts[-1][0]:
            self._starts.append((stage, time.monotonic()))
        return len(text) if self._muted() else self._terminal.write(text)

    def flush(self) -> None:
        self._terminal.flush()

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def fileno(self) -> int:
        return self._terminal.fileno()

    def stages(self) -> dict[str, float]:
        """Seconds of each stage until now, by its title, in the order of their beginnings."""
        ends = [start for _, start in self._starts[1:]] + [time.monotonic()]
        seconds: dict[str, float] = {}
        for (stage, start), end in zip(self._starts, ends, strict=True):
            if stage in TITLES:
                seconds[TITLES[stage]] = seconds.get(TITLES[stage], 0.0) + end - start
        return seconds

    def _stage(self) -> str:
        """The job's phase, and within the phase RUNNING its stage."""
        job = sys.modules[f"{self._addon}.runtime"].session().job
        if job is None:
            return "STARTING"
        return (job.stage or "load") if job.phase.name == "RUNNING" else job.phase.name
