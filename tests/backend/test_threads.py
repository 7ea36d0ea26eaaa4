# SPDX-License-Identifier: GPL-3.0-or-later
"""How threads wait, and how one of them stands back."""

import os
import sys
import threading

import pytest

from backend.threads import FEW_SPINS, SPINS, lower_priority, share_cores

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, ("PASSIVE", str(SPINS if sys.platform == "linux" else FEW_SPINS))),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ("ACTIVE", None)),
        ({"GOMP_SPINCOUNT": "7"}, ("PASSIVE", "7")),
    ],
)
def test_the_users_own_settings_win(
    own: dict[str, str], expected: tuple[str | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "put back afterwards")
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    share_cores()
    assert tuple(map(os.environ.get, NAMES)) == expected


def test_without_an_account_of_threads_they_look_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "put back afterwards")
        monkeypatch.delenv(name)
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    share_cores()
    assert os.environ["GOMP_SPINCOUNT"] == str(FEW_SPINS)


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
