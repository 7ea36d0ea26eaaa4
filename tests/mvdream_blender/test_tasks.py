# SPDX-License-Identifier: GPL-3.0-or-later
"""Generators that wait: order, results, errors, cleaning up."""

import pytest

from mvdream_blender.tasks import Delay, Task, Until, run


class Countdown:
    def __init__(self, looks):
        self.looks, self.closed = looks, False

    def poll(self):
        self.looks -= 1
        return self.looks < 0

    def close(self):
        self.closed = True


def test_ticks_until_what_it_waits_for_is_there():
    def steps():
        yield Countdown(2)
        return "there"

    task = Task(steps())
    assert [task.tick(), task.tick(), task.tick()] == [False, False, True]
    assert task.result() == "there"


def test_ready_things_do_not_cost_a_tick():
    def inner():
        yield Countdown(0)
        return 2

    def steps():
        total = 0
        for _ in range(3):
            total += yield from inner()
        return total

    task = Task(steps())
    assert task.tick() is True
    assert task.result() == 6


def test_errors_pass_through_and_end_the_task():
    def steps():
        yield Countdown(0)
        raise KeyError("x")

    task = Task(steps())
    with pytest.raises(KeyError):
        task.tick()
    assert task.done


def test_close_runs_finally_and_closes_what_is_waited_for():
    waiting, cleaned = Countdown(99), []

    def steps():
        try:
            yield waiting
        finally:
            cleaned.append(True)

    task = Task(steps())
    task.tick()
    task.close()
    assert waiting.closed
    assert cleaned == [True]


def test_result_too_early():
    task = Task(x for x in [Countdown(5)])
    with pytest.raises(RuntimeError):
        task.result()


def test_run_gives_up_after_its_time():
    def steps():
        yield Until(lambda: False)

    with pytest.raises(TimeoutError, match=r"0\.05 seconds"):
        run(steps(), timeout=0.05, pause=0.01)


def test_delay():
    assert Delay(0).poll()
    late = Delay(1000)
    assert not late.poll()
    late.close()
    assert late.poll()
