# SPDX-License-Identifier: GPL-3.0-or-later
"""What the person at the terminal sees: lines, and one line that is redrawn while something takes long."""

import shutil
import sys
import time
from typing import TextIO

WIDTH = 24
LOG_SECONDS = 10.0


def say(text: str = "") -> None:
    """A line of output. What the terminal can't show is replaced: a prompt may be in any script."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()


def duration(seconds: float) -> str:
    """Seconds as a person reads them: "0.4 s", "12 s", "3 min 05 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


class ProgressLine:
    """A line that is redrawn on a terminal; elsewhere (a log) a line for what is new, every few seconds."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = stream or sys.stdout
        self._redraws = self._stream.isatty()
        self._start = time.monotonic()
        self._last_time = -LOG_SECONDS
        self._last_text = ""
        self._kinds: set[str] = set()

    def show(self, text: str, fraction: float | None = None) -> None:
        """Say what is going on. `fraction` is 0..1 of the whole; None: nobody knows."""
        now = time.monotonic()
        if self._redraws:
            spent = duration(now - self._start)
            bar = "" if fraction is None else f"[{bar_of(fraction)}] "
            line = f"{self._title}: {bar}{text}, {spent}"
            columns = max(20, shutil.get_terminal_size().columns - 1)
            # One column is left free: a full line would wrap, and a wrapped one can't be redrawn.
            self._stream.write("\r" + line[:columns].ljust(columns))
        elif self._is_news(text, now):
            self._last_text, self._last_time = text, now
            self._stream.write(f"{self._title}: {text}\n")
        self._stream.flush()

    def _is_news(self, text: str, now: float) -> bool:
        """For a log: the first of a kind of work ("unpacking" after "fetching"), else some time later."""
        kind = text.partition(" ")[0]
        first = kind not in self._kinds
        self._kinds.add(kind)
        return first or (text != self._last_text and now - self._last_time >= LOG_SECONDS)

    def end(self, text: str) -> None:
        """The last word, which stays."""
        spent = duration(time.monotonic() - self._start)
        self.clear()
        self._stream.write(f"{self._title}: {text} ({spent})\n")
        self._stream.flush()

    def clear(self) -> None:
        """Wipe the line, so that an error does not stand behind half a bar."""
        if self._redraws:
            columns = max(20, shutil.get_terminal_size().columns - 1)
            self._stream.write("\r" + " " * columns + "\r")
            self._stream.flush()


def bar_of(fraction: float) -> str:
    """The inside of a progress bar."""
    filled = round(WIDTH * min(1.0, max(0.0, fraction)))
    return "#" * filled + "." * (WIDTH - filled)
