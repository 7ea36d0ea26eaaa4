# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a transfer is, how fast, and how long it will take, in words."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

# report(message, done_bytes, total_bytes); total_bytes 0: not known yet.
Report = Callable[[str, int, int], None]

INTERVAL = 0.2
_WINDOW = 10.0


class Meter:
    """Turns positions in a file into reports, a few a second: amount, rate of the last seconds, time left."""

    def __init__(
        self, what: str, total: int, report: Report, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._total = total
        self._report = report
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque()

    def start(self, position: int) -> None:
        """Begins, or begins again after a break, at `position`: the rate is measured from here."""
        self._marks.clear()
        self._mark(position)

    def __call__(self, position: int) -> None:
        """Says where the transfer is, unless it was said a moment ago."""
        if position >= self._total or self._clock() - self._marks[-1][0] >= INTERVAL:
            self._mark(position)

    def _mark(self, position: int) -> None:
        now = self._clock()
        self._marks.append((now, position))
        while now - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        message = f"{self._what}: {format_bytes(position)} of {format_bytes(self._total)}{self._speed()}"
        self._report(message, position, self._total)

    def _speed(self) -> str:
        (first, start), (last, end) = self._marks[0], self._marks[-1]
        if last - first < INTERVAL or end <= start:
            return ""
        rate = (end - start) / (last - first)
        return f", {format_bytes(round(rate))}/s, {_time(round((self._total - end) / rate))} left"


def format_bytes(count: int) -> str:
    """1234 -> "1.2 kB", 5200000000 -> "5.20 GB": decimal units, as disks are sold."""
    if count < 1000:
        return f"{count} B"
    for unit, size in (("kB", 1e3), ("MB", 1e6)):
        if count < size * 1000:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e9:.2f} GB"


def _time(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"
