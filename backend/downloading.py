# SPDX-License-Identifier: GPL-3.0-or-later
"""The job "download": a known model comes from the hub into the models folder. No torch until it converts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from backend.diffusion import installation
from backend.download_settings import DownloadSettings
from backend.pacing import Report
from backend.progress import Progress

STAGE = "download"
# What the messages of `installation.install` begin with: where it begins in the whole, and its share.
_PARTS = {"Downloading": (0.0, 0.85), "Checking": (0.85, 0.05), "Converting": (0.9, 0.1)}
_WINDOW = 10.0
_SHORTEST = 1.0


def download_model(settings: DownloadSettings, report: Report, cancelled: Callable[[], bool]) -> None:
    """Downloads and converts the model. What is there from an earlier try is used, and kept for the next.

    Raises:
        UserError: what network, hub, disk or file are to blame for.
        Cancelled: `cancelled()` said so.
    """
    installation.install(settings.name, DownloadProgress(report), cancelled, half=settings.half)


class DownloadProgress:
    """Makes one Progress over the whole of reports that count the bytes of the file, then of its conversion.

    seconds_left is that of the transfer, by the rate of the last seconds: the rest is short beside it.
    """

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._part = ""
        self._fraction = 0.0
        self._marks: deque[tuple[float, int]] = deque()

    def __call__(self, message: str, done: int, total: int) -> None:
        """Takes a report: a sentence, and bytes; `total` 0 where nobody knows."""
        part = message.partition(" ")[0]
        if part != self._part or (self._marks and done < self._marks[-1][1]):
            self._part = part
            self._marks.clear()
        if part in _PARTS and total:
            begin, share = _PARTS[part]
            self._fraction = begin + share * min(done / total, 1.0)
        self._report(
            Progress(
                STAGE, fraction=self._fraction, seconds_left=self._left(part, done, total), message=message
            )
        )

    def _left(self, part: str, done: int, total: int) -> float | None:
        if part != "Downloading" or not total:
            return None
        now = self._clock()
        self._marks.append((now, done))
        while now - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        first, start = self._marks[0]
        if now - first < _SHORTEST or done == start:
            return None
        return (total - done) * (now - first) / (done - start)
