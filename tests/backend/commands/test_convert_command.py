# SPDX-License-Identifier: GPL-3.0-or-later
"""What `convert` says of the time it will take."""

from __future__ import annotations

import io

import pytest

from backend.commands import convert
from backend.commands.progress_bar import ProgressBar
from backend.progress import Progress


class Seen(ProgressBar):
    """Keeps the seconds left that it is told."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.left: list[float | None] = []

    def __call__(self, progress: Progress) -> None:
        self.left.append(progress.seconds_left)


@pytest.mark.parametrize(
    ("reports", "left"),
    [
        # (seconds, bytes of 1000); opening the file took 9 s, which is no rate.
        ([(9.0, 1), (9.1, 2), (9.5, 11), (10.0, 21), (10.5, 31)], [None, None, None, 48.95, 48.45]),
        ([(9.0, 1), (9.1, 30), (9.2, 31), (9.3, 1000)], [None, None, 0.2 * 969 / 30, 0.0]),
        ([(9.0, 1000)], [None]),
    ],
)
def test_the_time_left_has_a_basis(
    monkeypatch: pytest.MonkeyPatch, reports: list[tuple[float, int]], left: list[float | None]
) -> None:
    times = iter([seconds for seconds, _ in reports])
    monkeypatch.setattr(convert.time, "monotonic", lambda: next(times))
    bar = Seen()
    report = convert._Report(bar)
    for _, done in reports:
        report("unet", done, 1000)
    assert bar.left == [None if each is None else pytest.approx(each) for each in left]
