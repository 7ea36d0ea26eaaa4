# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch of waiting threads, in processes of their own and beside other programs."""

import os
import subprocess
import sys

import pytest

from backend.threads import WATCHED, _keeps_account

accounts = pytest.mark.skipif(
    sys.platform != "linux" or not _keeps_account(), reason="Linux that tells how long threads stood in line"
)

REAL = """
import os, sys, threading, time
cores = set(sorted(os.sched_getaffinity(0))[:2])
os.sched_setaffinity(0, cores)
from backend.threads import share_cores
share_cores()
import torch
from backend.spinning import Crowd, spinning_while_alone
"""
CROWD = (
    REAL
    + """
def count():
    return len(os.listdir("/proc/self/task"))
def settle(wanted):
    until = time.monotonic() + 60
    while count() != wanted and time.monotonic() < until:
        time.sleep(0.01)
    return count()
def burnt():
    # A short product now and then: its other thread looks for work in the meantime, or does not.
    start = time.process_time()
    for _ in range(100):
        x.add_(1)
        time.sleep(0.002)
    return time.process_time() - start
x = torch.zeros(1 << 17)
x.add_(1)
before, team, usual = count(), 5, torch.get_num_threads()
for _ in range(2):
    free = burnt()
    crowd = Crowd(team)
    print(settle(before + team) - before)
    print(burnt() < free / 2)
    crowd.leave()
    print(settle(before) - before, torch.get_num_threads() == usual)
"""
)
BESIDE_OTHERS = (
    REAL
    + """
x = torch.rand(1 << 18)
with spinning_while_alone():
    until = time.monotonic() + 120
    while time.monotonic() < until:
        x.sin()
        if "crowd" in {thread.name for thread in threading.enumerate()}:
            sys.exit(0)
sys.exit(1)
"""
)


def run(code: str) -> subprocess.CompletedProcess[str]:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    environment = {key: value for key, value in os.environ.items() if "OMP" not in key and key != WATCHED}
    environment |= {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
    )


@accounts
def test_while_there_is_a_crowd_nobody_looks() -> None:
    done = run(CROWD)
    assert done.stdout.splitlines() == 2 * ["5", "True", "0 True"], done


@accounts
def test_others_who_want_the_cores_are_seen() -> None:
    """Real programs on the same cores; nothing can be said of cores being free, where tests run."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    busy = f"import os; os.sched_setaffinity(0, {set(cores)})\nwhile True: pass"
    others = [subprocess.Popen([sys.executable, "-c", busy]) for _ in cores]
    try:
        assert run(BESIDE_OTHERS).returncode == 0
    finally:
        for process in others:
            process.kill()
            process.wait()
