# SPDX-License-Identifier: GPL-3.0-or-later
"""Idle threads look for work while nobody else wants the cores."""

import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from backend import pipeline, spinning, views
from backend.spinning import Line, Turns, spinning_while_alone
from backend.threads import WATCHED
from backend.training import runs, tiny_encoder_run


def own_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & {"spinning", "crowd"}


def test_they_sleep_soon_and_try_again_each_time_later_if_in_vain() -> None:
    turns = Turns(team=2)
    asleep = [turns.look(0.7, 100 + number / 8) for number in range(200)]
    tries = [number for number, sleeps in enumerate(asleep) if not sleeps]
    # After 1, 2, 4, 8 and 8 seconds of sleep; whoever tries is asleep again two eighths of a second later.
    assert tries == [0, *(9, 10), *(27, 28), *(61, 62), *(127, 128), *(193, 194)]


@pytest.mark.parametrize(
    ("team", "in_line", "sleep"),
    [
        (2, [0.02, 0.1, 0.14, 0.14], False),
        (2, [0.3, 0.1, 0.3, 0.1], False),  # never twice in a row
        (2, [0.1, 0.16, 0.16], True),
        (16, [0.4, 0.4, 0.4], False),
        (16, [0.5, 0.5], True),
    ],
)
def test_how_long_a_line_makes_them_sleep(team: int, in_line: list[float], sleep: bool) -> None:
    turns = Turns(team)
    assert [turns.look(share, 50 + number / 4) for number, share in enumerate(in_line)][-1] is sleep


def test_peace_makes_the_next_sleep_short_again() -> None:
    turns, now = Turns(2), 100.0
    for _ in range(50):
        turns.look(0.7, now)
        now += 0.125
    while turns.look(0.0, now):
        now += 0.125
    now += 30
    assert [turns.look(0.7, now + number / 8) for number in range(2)] == [False, True]
    assert turns.look(0.0, now + 1)
    assert not turns.look(0.0, now + 1.25)


def test_the_line_is_read_thread_by_thread(tmp_path: Path) -> None:
    def write(thread: int, waited: int) -> None:
        (tmp_path / str(thread)).mkdir(exist_ok=True)
        (tmp_path / str(thread) / "schedstat").write_text(f"123456789 {waited} 42\n")

    write(1, 5_000_000_000)
    write(2, 1_000_000_000)
    (tmp_path / "3").mkdir()  # it ends between the list and the look
    line = Line(str(tmp_path))
    assert line.seconds() == 0
    write(1, 5_500_000_000)
    (tmp_path / "2" / "schedstat").unlink()
    write(4, 250_000_000)  # began since
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "schedstat").write_text("")
    assert line.seconds() == pytest.approx(0.75)
    write(2, 1_125_000_000)  # could not be read for once
    assert line.seconds() == pytest.approx(0.125)
    (tmp_path / "1" / "schedstat").unlink()
    assert line.seconds() == 0
    with pytest.raises(OSError, match="nowhere"):
        Line(str(tmp_path / "nowhere")).seconds()


@pytest.mark.skipif(sys.platform != "linux", reason="processors are counted as Linux does")
@pytest.mark.parametrize(
    ("team", "processors", "crowd"), [(2, 2, 2), (8, 16, 10), (16, 16, 2), (4, 2, 2), (2, 64, 64), (1, 16, 0)]
)
def test_a_crowd_makes_more_threads_than_processors(
    monkeypatch: pytest.MonkeyPatch, team: int, processors: int, crowd: int
) -> None:
    monkeypatch.setenv(WATCHED, "1")
    monkeypatch.setattr(torch, "get_num_threads", lambda: team)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(processors)))
    assert spinning._teams() == (team, crowd)
    if crowd:  # OpenMP does not count who starts a team
        assert team + crowd - 1 > processors


def test_nobody_watches_what_has_other_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WATCHED, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "300000")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with spinning_while_alone():
        assert not own_threads()


@pytest.fixture
def comings() -> list[int]:
    """Sizes of crowds as they come, and negative as they go."""
    return []


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, comings: list[int]) -> Callable[[list[float]], None]:
    """Makes threads stand in line as long as a list says, then no more; crowds are one thread of Python."""

    class Quiet(spinning.Crowd):
        def _stay(self, team: int) -> None:
            comings.append(team)
            self._gone.wait()
            comings.append(-team)

    def follow(shares: list[float]) -> None:
        left: Iterator[float] = iter(shares)
        monkeypatch.setattr(spinning.Line, "seconds", lambda self: spinning.PERIOD * next(left, 0.0))

    monkeypatch.setattr(spinning, "Crowd", Quiet)
    monkeypatch.setattr(spinning, "_teams", lambda: (2, 5))
    monkeypatch.setattr(spinning, "PERIOD", 0.01)
    monkeypatch.setattr(spinning, "FIRST_HOLD", 0.05)
    monkeypatch.setattr(spinning.Line, "_read", lambda self: {})
    return follow


def wait_for(list_: list[int], length: int) -> bool:
    until = time.monotonic() + 60
    while len(list_) < length and time.monotonic() < until:
        time.sleep(0.002)
    return len(list_) >= length


def test_a_crowd_comes_and_goes(watched: Callable[[list[float]], None], comings: list[int]) -> None:
    watched([0.0, 1e9, 1e9])
    with spinning_while_alone():
        assert wait_for(comings, 2)
    assert not own_threads()
    assert comings == [5, -5]


def test_both_end_with_what_they_watch_whatever_happens(
    watched: Callable[[list[float]], None], comings: list[int]
) -> None:
    @spinning_while_alone()
    def work() -> None:
        assert wait_for(comings, len(comings) + 1)
        raise KeyboardInterrupt

    for _ in range(2):  # as often as one likes
        watched([1e9] * 10_000)
        with pytest.raises(KeyboardInterrupt):
            work()
        assert not own_threads()
        assert sum(comings) == 0


def test_who_can_not_tell_stands_back(
    watched: Callable[[list[float]], None], comings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Line) -> float:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(spinning.Line, "seconds", fail)
    with spinning_while_alone():
        assert wait_for(comings, 3)  # again after a while
    assert not own_threads()


def test_a_refused_thread_is_no_reason_to_fail(
    watched: Callable[[list[float]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def refuse(team: int) -> None:
        asked.append(team)
        raise RuntimeError("can't start new thread")

    watched([1e9] * 10_000)
    monkeypatch.setattr(spinning, "Crowd", refuse)
    with spinning_while_alone():
        assert wait_for(asked, 2)
    assert not own_threads()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (pipeline, "generate"),
        (views, "sample_views"),
        (runs, "train_autoencoder"),
        (runs, "train_multiview"),
        (tiny_encoder_run, "train_tiny_encoder"),
    ],
)
def test_all_long_work_is_watched(module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[bool] = []

    def note() -> tuple[int, int]:
        entered.append(True)
        return 1, 0

    monkeypatch.setattr(spinning, "_teams", note)
    function = getattr(module, name)
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    with pytest.raises(AttributeError):  # whatever it asks of these
        function(*(None for _ in needed))
    assert entered
