# SPDX-License-Identifier: GPL-3.0-or-later
"""Idle threads look for work while nobody else wants the cores."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from backend import spinning
from backend.spinning import Contention, Line, spinning_while_alone
from backend.threads import SPINS

linux = pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP, and Linux's account of threads")


def test_contention_shows_at_once_and_must_be_gone_for_a_while() -> None:
    contention = Contention()
    shares = [0.02, 0.08, 0.11, 0.08, 0.01, 0.01, 0.01, 0.01, 0.08, *5 * [0.01], 0.08, 1.7]
    seen = [contention.look(share) for share in shares]
    assert seen == [False, False, *11 * [True], False, False, True]


def test_the_line_is_read_thread_by_thread(tmp_path: Path) -> None:
    def write(thread: int, waited: int) -> None:
        (tmp_path / str(thread)).mkdir(exist_ok=True)
        (tmp_path / str(thread) / "schedstat").write_text(f"123456789 {waited} 42\n")

    write(1, 5_000_000_000)
    write(2, 1_000_000_000)
    (tmp_path / "3").mkdir()  # it ends between the list and the look
    line = Line(tmp_path)
    write(1, 5_500_000_000)
    (tmp_path / "2" / "schedstat").unlink()
    write(4, 250_000_000)  # began since
    assert line.seconds() == pytest.approx(0.75)
    assert line.seconds() == 0


CROWD = """
import os, time, torch
from backend.spinning import Crowd
def settle(wanted):
    until = time.monotonic() + 60
    while count() != wanted and time.monotonic() < until:
        time.sleep(0.01)
    return count()
def count():
    return len(os.listdir("/proc/self/task"))
torch.zeros(1 << 20).add_(1)
before, team = count(), torch.get_num_threads()
for _ in range(2):
    crowd = Crowd(starters=2, team=team)
    print((settle(before + 2 * team) - before) / team)
    crowd.leave()
    print(settle(before) - before)
"""


@linux
def test_a_crowd_is_there_till_it_leaves() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", CROWD], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["2.0", "0", "2.0", "0"], done.stderr


@linux
@pytest.mark.parametrize(
    ("team", "processors", "expected"),
    [
        (2, 2, (1, 2)),  # 2 + 1 threads on 2 processors
        (8, 16, (2, 8)),  # 8 + 7 + 7 on 16
        (16, 16, (1, 16)),
        (4, 2, (1, 4)),
        (1, 16, None),  # nobody to wait for
        (2, 64, None),
    ],
)
def test_how_large_a_crowd_makes_more_threads_than_processors(
    monkeypatch: pytest.MonkeyPatch, team: int, processors: int, expected: tuple[int, int] | None
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", str(SPINS))
    monkeypatch.setattr(torch, "get_num_threads", lambda: team)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(processors)))
    assert spinning._starters() == expected
    if expected:
        starters, _ = expected
        assert team + starters * (team - 1) > processors


@pytest.mark.parametrize("own", ["", "1000", "300001"])
def test_the_users_own_setting_wins(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", own)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    before = threading.active_count()
    with spinning_while_alone():
        assert threading.active_count() == before


@linux
def test_the_watch_ends_with_what_it_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spinning, "_starters", lambda: (1, 2))
    monkeypatch.setattr(spinning, "PERIOD", 0.01)
    monkeypatch.setattr(spinning.Line, "seconds", lambda self: 1.0)
    before = set(threading.enumerate())

    @spinning_while_alone()
    def work() -> set[str]:
        names: set[str] = set()
        until = time.monotonic() + 60
        while "crowd" not in names and time.monotonic() < until:
            names = {thread.name for thread in set(threading.enumerate()) - before}
        return names

    for _ in range(2):  # as often as one likes
        assert work() == {"spinning", "crowd"}
        assert set(threading.enumerate()) == before


BESIDE_OTHERS = """
import os, sys, time
cores = set(sorted(os.sched_getaffinity(0))[:2])
os.sched_setaffinity(0, cores)
os.environ["OMP_NUM_THREADS"] = "2"
from backend.threads import share_cores
share_cores()
import threading, torch
from backend.spinning import spinning_while_alone
x = torch.rand(1 << 18)
with spinning_while_alone():
    until = time.monotonic() + 120
    while time.monotonic() < until:
        x.sin()
        if "crowd" in {thread.name for thread in threading.enumerate()}:
            sys.exit(0)
sys.exit(1)
"""


@linux
def test_others_who_want_the_cores_are_seen() -> None:
    """Real programs on the same cores; nothing can be said of cores being free, where tests run."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        pytest.skip("one core")
    busy = f"import os; os.sched_setaffinity(0, {set(cores)}); [None for _ in iter(int, 1)]"
    others = [subprocess.Popen([sys.executable, "-c", busy]) for _ in cores]
    environment = {key: value for key, value in os.environ.items() if "OMP" not in key}
    try:
        assert subprocess.run([sys.executable, "-c", BESIDE_OTHERS], env=environment).returncode == 0
    finally:
        for process in others:
            process.kill()
            process.wait()
