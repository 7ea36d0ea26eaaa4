# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress for somebody at a terminal, when Blender runs without a window. Never imports bpy."""

import sys
from typing import TextIO

from .job import Job

WIDTH = 24


class ConsoleProgress:
    """A bar redrawn on a terminal; elsewhere (a log) a line for each stage and each tenth of the way."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._redraws = self._stream.isatty()
        self._last: tuple[str, str, int] | None = None
        self._length = 0

    def __call__(self, job: Job) -> None:
        """Show the job as it is now."""
        line = bar(job)
        if self._redraws:
            self._stream.write("\r" + line.ljust(self._length))
            self._length = len(line)
        else:
            mark = (job.phase.value, job.stage, int(job.fraction * 10))
            if mark == self._last:
                return
            self._last = mark
            self._stream.write(line + "\n")
        self._stream.flush()

    def end(self) -> None:
        """The bar stays on a line of its own."""
        if self._redraws and self._length:
            self._stream.write("\n")
            self._stream.flush()


def bar(job: Job) -> str:
    """ "[######..................]  25 %  Shaping the object, step 75 of 300, about 30 s left" """
    filled = round(WIDTH * job.fraction)
    parts = [part for part in (job.headline, job.time_left) if part]
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {round(job.fraction * 100):3d} %  {', '.join(parts)}"
