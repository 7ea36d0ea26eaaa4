# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress for somebody at a terminal, when Blender runs without a window. Never imports bpy."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from .install_output import InstallProgress
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
        self._show(bar(job), (job.phase.value, job.stage, int(job.fraction * 10)))

    def installation(self, progress: InstallProgress | None) -> None:
        """Show an installation as it is now; None: there is none."""
        if progress is None:
            return
        share = "" if progress.fraction is None else f", {round(progress.fraction * 100)} %"
        tenth = int(10 * (progress.fraction or 0.0))
        self._show(progress.message + share, ("install", progress.message, tenth))

    def _show(self, line: str, mark: tuple[str, str, int]) -> None:
        if self._redraws:
            self._stream.write("\r" + line.ljust(self._length))
            self._length = len(line)
        else:
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


@contextlib.contextmanager
def told() -> Iterator[ConsoleProgress]:
    """For the length of a call that waits: somebody who looks on sees how far it is."""
    progress = ConsoleProgress()
    try:
        yield progress
    finally:
        progress.end()


@contextlib.contextmanager
def told_to(callback: Callable[[Job], None] | None) -> Iterator[Callable[[Job], None]]:
    """The script's own callback, or where it has none the console."""
    if callback is not None:
        yield callback
        return
    with told() as progress:
        yield progress


def bar(job: Job) -> str:
    """ "[######..................]  25 %  Shaping the object, step 75 of 300, about 30 s left" """
    filled = round(WIDTH * job.fraction)
    parts = [part for part in (job.headline, job.time_left) if part]
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {round(job.fraction * 100):3d} %  {', '.join(parts)}"
