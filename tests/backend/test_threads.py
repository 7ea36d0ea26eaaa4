# SPDX-License-Identifier: GPL-3.0-or-later
"""How threads wait, and how one of them stands back."""

import os
import sys
import threading
from pathlib import Path

import pytest

from backend import threads
from backend.threads import FEW_SPINS, SPINS, WATCHED, few_spins, lower_priority, share_cores

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", WATCHED)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have some; what a test sets is put back afterwards."""
    for name in (*NAMES, "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("account", "own", "expected"),
    [
        (True, {}, ("PASSIVE", str(SPINS), "1")),
        (False, {}, ("PASSIVE", str(FEW_SPINS), None)),
        (True, {"OMP_PROC_BIND": "true"}, ("PASSIVE", str(FEW_SPINS), None)),
        (True, {"OMP_WAIT_POLICY": "ACTIVE"}, ("ACTIVE", None, None)),
        (True, {"GOMP_SPINCOUNT": "300000"}, ("PASSIVE", "300000", None)),
    ],
)
def test_how_threads_wait(
    account: bool,
    own: dict[str, str],
    expected: tuple[str | None, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_keeps_account", lambda: account)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    share_cores()
    assert tuple(map(os.environ.get, NAMES)) == expected
    share_cores()  # as a worker that inherits all that
    assert tuple(map(os.environ.get, NAMES)) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="processors are counted as Linux does")
@pytest.mark.parametrize(
    ("processors", "team", "large"),
    [(2, None, True), (128, None, True), (130, None, False), (128, "4", False)],
)
def test_a_watch_would_start_few_threads(
    processors: int, team: str | None, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_keeps_account", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(processors)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if team:
        monkeypatch.setenv("OMP_NUM_THREADS", team)
    share_cores()
    assert (WATCHED in os.environ) == large


def test_one_of_several_processes_looks_seldom_without_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    few_spins()
    assert os.environ["GOMP_SPINCOUNT"] == "7"  # the user's
    monkeypatch.setenv(WATCHED, "1")
    few_spins()
    assert os.environ["GOMP_SPINCOUNT"] == str(FEW_SPINS)
    assert WATCHED not in os.environ


@pytest.mark.parametrize(
    ("text", "kept"), [("1807275 0 3\n", True), ("0 0 0\n", False), ("", False), (None, False)]
)
def test_an_account_of_zeros_is_none(text: str | None, kept: bool, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "schedstat").write_text(text)
    assert threads._keeps_account(str(tmp_path / "schedstat")) is kept


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own there")
def test_only_the_calling_thread_stands_back() -> None:
    found: list[int] = []

    def work() -> None:
        lower_priority()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, 0)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [max(before, 10)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
