# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker processes do their work, and end with the block, however that ends."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from backend.evaluation.workers import workers
from tests.foreground import in_foreground

ROOT = Path(__file__).resolve().parents[3]
WORKING = """
import time
from backend.evaluation.workers import workers

try:
    with workers(2, 1) as submit:
        print(submit(abs, -3).result(), flush=True)
        running = [submit(time.sleep, 60) for _ in range(2)]
        print("begun", flush=True)
        running[0].result()
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


def test_threads_are_shared_out_and_all_processes_end() -> None:
    with workers(1, 3) as submit:
        assert submit(os.getenv, "OMP_NUM_THREADS").result() == "3"
    assert multiprocessing.active_children() == []


def test_an_exception_ends_work_that_would_take_long() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError), workers(1, 1) as submit:
        submit(time.sleep, 60).result(timeout=1)
    assert time.monotonic() - began < 10
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_workers_do_not_outlive_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORKING], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["3\n", "begun\n"]
        process.kill()
        # The pipe is closed when the last process that holds it is gone.
        assert process.communicate(timeout=30) == ("", None)


def test_a_process_that_dies_is_told_by_what_it_did_and_by_what_comes_after() -> None:
    with workers(1, 1) as submit:
        assert isinstance(submit(os._exit, 1).exception(), BrokenProcessPool)
        assert isinstance(submit(abs, -3).exception(), BrokenProcessPool)


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_ctrl_c_ends_all_at_once_and_without_a_traceback() -> None:
    with in_foreground([sys.executable, "-c", WORKING], cwd=ROOT, start_new_session=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["3\n", "begun\n"]
        # One process works, the other is being started.
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        # Pipes are closed when the last process that holds them is gone.
        assert process.communicate(timeout=30) == ("stopped\n", "")
    assert time.monotonic() - began < 10
