# SPDX-License-Identifier: GPL-3.0-or-later
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from backend.commands import interruption
from backend.commands.interruption import Interruption, being_told_to_end_is_ctrl_c

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
NAMES = ["SIGINT", "SIGTERM", "SIGHUP"]


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    """As a shell starts a program; these tests may run under `nohup`."""
    usual = {"SIGINT": signal.default_int_handler, "SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL}
    before = {name: signal.signal(getattr(signal, name), handler) for name, handler in usual.items()}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def send(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize("name", NAMES)
def test_the_first_signal_is_a_question_and_the_second_an_end(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([10.0, 10.4, 10.6])
    monkeypatch.setattr(interruption, "time", SimpleNamespace(monotonic=lambda: next(now)))
    before = signal.getsignal(getattr(signal, name))
    with Interruption() as asked:
        assert not asked()
        send(name)
        assert asked()
        send("SIGTERM")  # the same wish, handed on
        with pytest.raises(KeyboardInterrupt):
            send("SIGTERM")
    assert signal.getsignal(getattr(signal, name)) is before


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    with Interruption() as asked:
        send("SIGHUP")
        assert not asked()
    with being_told_to_end_is_ctrl_c():
        send("SIGHUP")
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("name", NAMES)
def test_elsewhere_each_is_ctrl_c(name: str) -> None:
    with pytest.raises(KeyboardInterrupt), being_told_to_end_is_ctrl_c():
        send(name)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_other_threads_leave_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with Interruption(), being_told_to_end_is_ctrl_c():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
