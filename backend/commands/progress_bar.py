# SPDX-License-Identifier: GPL-3.0-or-later
"""A progress bar with the time left, for people at a terminal."""

import contextlib
import logging
import re
import sys
import time
from typing import Self, TextIO

from backend.progress import Progress

WIDTH = 30
INTERVAL = 0.1
CLEAR = "\r\x1b[2K"


class ProgressBar:
    """Callable for Progress: one line, redrawn, on a terminal; elsewhere a line for what is new.

    New is a stage, a message (whatever its numbers), a tenth of the whole. While the block lasts, what is
    logged to the terminal comes above the bar.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._drawn = 0.0
        self._shown = ""
        self._told = ("", "", -1)
        self._handlers: list[logging.StreamHandler[TextIO | _Above]] = []

    def __enter__(self) -> Self:
        if self.live:
            self._handlers = [
                handler
                for handler in logging.getLogger().handlers
                if isinstance(handler, logging.StreamHandler) and handler.stream is self.stream
            ]
        for handler in self._handlers:
            handler.setStream(_Above(self))
        return self

    def __exit__(self, *exc: object) -> None:
        for handler in self._handlers:
            handler.setStream(self.stream)
        if self._shown:
            self._write("\n")
            self._shown = ""

    def __call__(self, progress: Progress) -> None:
        text = self._line(progress)
        if self.live:
            now = time.monotonic()
            if now - self._drawn >= INTERVAL or progress.fraction >= 1:
                self._drawn, self._shown = now, text
                self._write(CLEAR + text)
        else:
            key = (progress.stage, re.split(r"\d", progress.message)[0], int(progress.fraction * 10))
            if key != self._told:
                self._told = key
                self._write(text + "\n")

    def say(self, text: str) -> None:
        """A line of its own."""
        self.above(text + "\n")

    def above(self, lines: str) -> None:
        """Whole lines, and below them the bar again where there is one."""
        self._write(f"{CLEAR}{lines}{self._shown}" if self._shown else lines)

    def _write(self, text: str) -> None:
        """To a terminal that is closed nothing can be told, and the work is to be kept all the same."""
        with contextlib.suppress(OSError):
            self.stream.write(text)
            self.stream.flush()

    @staticmethod
    def _line(progress: Progress) -> str:
        filled = round(WIDTH * progress.fraction)
        bar = "#" * filled + "." * (WIDTH - filled)
        steps = f" {progress.step}/{progress.steps}" if progress.steps else ""
        left = "" if progress.seconds_left is None else f", {format_seconds(progress.seconds_left)} left"
        return f"[{bar}] {progress.fraction:4.0%} {progress.message}{steps}{left}"


class _Above:
    """The stream of a log handler while there is a bar; a handler writes whole lines."""

    def __init__(self, bar: ProgressBar) -> None:
        self.write = bar.above
        self.flush = bar.stream.flush


def format_seconds(seconds: float) -> str:
    """12.3 -> "12 s", 75 -> "1:15"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d}"
