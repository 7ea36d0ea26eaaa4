# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from backend.training.pace import Pace, learning_rate


def test_given_steps_are_kept() -> None:
    pace = Pace(steps=10, minutes=None)
    pace.observe(5, 1.0)
    pace.observe(6, 100.0)
    assert pace.total == 10
    assert not pace.finished(9, 1e9)
    assert pace.finished(10, 0.0)
    assert pace.seconds_left(6, 100.0) == pytest.approx(4 * 99)


def test_a_budget_becomes_steps_and_is_corrected_half_way() -> None:
    pace = Pace(steps=None, minutes=10, started=100.0, reserve=10.0)  # ends at 690
    pace.observe(20, 180.0)
    assert pace.total is None
    pace.observe(120, 190.0)  # 0.1 s a step, 500 s left, 3 % margin
    assert pace.total == 120 + 4850
    pace.observe(1000, 278.0)
    assert pace.total == 120 + 4850
    pace.observe(2500, 560.0)  # slower than thought: 380 s for 2480 steps, 130 s left
    assert pace.total == 2500 + int(130 * 0.97 * 2480 / 380)
    assert pace.finished(2600, 690.0)


def test_a_resumed_run_keeps_its_number_of_steps() -> None:
    pace = Pace(steps=None, minutes=1)
    pace.fix(500)
    pace.observe(100, 0.0)
    pace.observe(300, 1000.0)
    assert pace.total == 500


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    assert learning_rate(1.0, 0, None, warmup=4) == 0.25
    assert learning_rate(1.0, 3, None, warmup=4) == 1.0
    assert learning_rate(1.0, 999, None, warmup=4) == 1.0
    assert learning_rate(2.0, 100, 1100, warmup=100) == 2.0
    assert learning_rate(2.0, 600, 1100, warmup=100) == pytest.approx(1.0)
    assert learning_rate(2.0, 1100, 1100, warmup=100) == pytest.approx(0.0)
    assert learning_rate(1.0, 1, 10, warmup=300) == 1.0  # a short run warms up for a tenth of it
