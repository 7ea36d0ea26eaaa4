# SPDX-License-Identifier: GPL-3.0-or-later
"""A progress bar with the time left, for people at a terminal."""

import sys
import time
from typing import Self, TextIO

from backend.progress import Progress

WIDTH = 30
INTERVAL = 0.1


class ProgressBar:
    """Callable for Progress: one line, redrawn, on a terminal; elsewhere a line for each stage and tenth."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._drawn = 0.0
        self._told = ("", -1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.live:
            self.stream.write("\n")

    def __call__(self, progress: Progress) -> None:
        text = self._line(progress)
        if self.live:
            now = time.monotonic()
            if now - self._drawn >= INTERVAL or progress.fraction >= 1:
                self._drawn = now
                self.stream.write(f"\r\x1b[2K{text}")
        else:
            key = (progress.stage, int(progress.fraction * 10))
            if key != self._told:
                self._told = key
                self.stream.write(text + "\n")
        self.stream.flush()

    def say(self, text: str) -> None:
        """A line of its own."""
        self.stream.write(text + "\n")
        self.stream.flush()

    @staticmethod
    def _line(progress: Progress) -> str:
        filled = round(WIDTH * progress.fraction)
        bar = "#" * filled + "." * (WIDTH - filled)
        steps = f" {progress.step}/{progress.steps}" if progress.steps else ""
        left = "" if progress.seconds_left is None else f", {format_seconds(progress.seconds_left)} left"
        return f"[{bar}] {progress.fraction:4.0%} {progress.message}{steps}{left}"


def format_seconds(seconds: float) -> str:
    """12.3 -> "12 s", 75 -> "1:15"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d}"
