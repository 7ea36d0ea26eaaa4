# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a whole job, with a clock that only moves when told."""

import pytest

from backend.pacing import STAGES, Pacer
from backend.progress import Progress


class Clock:
    """Stands still until `now` is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_shares_are_the_whole() -> None:
    assert sum(STAGES.values()) == pytest.approx(1.0)


def test_a_stage_takes_its_share_of_the_whole(clock: Clock) -> None:
    told: list[Progress] = []
    pace = Pacer(told.append, clock)
    pace("load", message="Loading")
    pace("distil", 0, 10)
    pace("distil", 5, 10, preview="preview.png")
    pace("mesh", 0, 3)
    pace("save", 1, 1, "Done")
    assert [progress.fraction for progress in told] == pytest.approx([0.0, 0.22, 0.535, 0.85, 1.0])
    assert (told[0].stage, told[0].message, told[0].preview) == ("load", "Loading", None)
    assert (told[2].step, told[2].steps, told[2].preview) == (5, 10, "preview.png")


def test_time_left_from_the_steps_so_far(clock: Clock) -> None:
    told: list[Progress] = []
    pace = Pacer(told.append, clock)
    for step in range(5):
        pace("distil", step, 20)
        clock.now += 2.0
    assert [progress.seconds_left for progress in told[:3]] == [
        None
    ] * 3  # two steps are no ground to guess on
    # Step 3 came after 6 s: 17 more of 2 s, and later stages take 0.15 / 0.63 of all 40 s.
    assert told[3].seconds_left == pytest.approx(17 * 2 + 40 * 0.15 / 0.63)
    assert told[4].seconds_left == pytest.approx(16 * 2 + 40 * 0.15 / 0.63)


def test_a_resumed_job_is_judged_by_its_own_steps(clock: Clock) -> None:
    told: list[Progress] = []
    pace = Pacer(told.append, clock)
    for step in range(100, 105):
        pace("distil", step, 110)
        clock.now += 3.0
    assert [progress.seconds_left is None for progress in told] == [True] * 3 + [False] * 2
    assert told[-1].seconds_left == pytest.approx(6 * 3 + 110 * 3 * 0.15 / 0.63)


def test_seconds_of_each_stage(clock: Clock) -> None:
    pace = Pacer(None, clock)
    pace("load")
    clock.now += 4
    pace("distil", 0, 2)
    clock.now += 5
    pace("distil", 1, 2)
    clock.now += 6
    pace("distil", 2, 2)
    assert pace.seconds["distil"] == 11
    clock.now += 1  # what comes after a stage's last report is still of the stage
    pace("mesh")
    assert pace.seconds == {"load": 4, "distil": 12, "mesh": 0}


def test_another_kind_of_job_has_its_own_stages(clock: Clock) -> None:
    told: list[Progress] = []
    pace = Pacer(told.append, clock, {"load": 0.4, "sample": 0.5, "save": 0.1})
    for step in range(5):
        pace("sample", step, 10)
        clock.now += 1.0
    assert [progress.fraction for progress in told] == pytest.approx([0.4, 0.45, 0.5, 0.55, 0.6])
    assert told[3].seconds_left == pytest.approx(7 + 10 * 0.1 / 0.5)


def test_what_is_left_out_is_shared_by_the_others(clock: Clock) -> None:
    told: list[Progress] = []
    pace = Pacer(told.append, clock, {"load": 0.1, "sample": 0.2, "distil": 0.3, "save": 0.4})
    pace("load")
    pace.leave_out("sample")
    pace("distil", 1, 2)
    pace("save", 1, 1)
    assert [progress.fraction for progress in told] == pytest.approx([0.0, (0.1 + 0.15) / 0.8, 1.0])
