# SPDX-License-Identifier: GPL-3.0-or-later
"""Words, waits and threads of downloads, without a network."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from backend.errors import Cancelled, UserError
from backend.hub.background import call_in_background, in_background
from backend.hub.patience import Patience, sleep
from backend.hub.progress import Meter, format_bytes


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_900, "999.9 kB"),
        (5_250_000, "5.2 MB"),
        (5_204_000_000, "5.20 GB"),
        (1_234_000_000_000, "1234.00 GB"),
    ],
)
def test_bytes_in_words(count: int, said: str) -> None:
    assert format_bytes(count) == said


def test_rate_and_time_left_come_from_the_last_seconds() -> None:
    now, said = [0.0], []
    meter = Meter("Downloading x", 100_000_000, lambda *report: said.append(report), clock=lambda: now[0])
    meter.start(20_000_000)
    assert said == [("Downloading x: 20.0 MB of 100.0 MB", 20_000_000, 100_000_000)]
    now[0] = 0.1
    meter(21_000_000)  # too soon to be told
    assert len(said) == 1
    now[0] = 2.0
    meter(30_000_000)  # 10 MB in 2 s, 70 MB to go
    assert said[-1][0] == "Downloading x: 30.0 MB of 100.0 MB, 5.0 MB/s, 14 s left"
    for second in range(3, 31):  # slower: 0.1 MB a second
        now[0] = float(second)
        meter(30_000_000 + (second - 2) * 100_000)
    assert said[-1][0] == "Downloading x: 32.8 MB of 100.0 MB, 100.0 kB/s, 11:12 min left"
    meter.start(90_000_000)
    assert said[-1][0] == "Downloading x: 90.0 MB of 100.0 MB"


def test_waits_double_up_to_a_limit() -> None:
    patience = Patience(first_wait=1.0, longest_wait=5.0)
    assert [patience.wait_before(attempt) for attempt in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 5.0]


def test_times_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "7")
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT", raising=False)
    assert Patience.from_environment() == Patience(stall=7.0)
    for wrong in ("soon", "0", "1.5", "-1"):
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", wrong)
        with pytest.raises(UserError, match="HF_HUB_ETAG_TIMEOUT must be a whole number"):
            Patience.from_environment()


def test_a_wait_ends_when_it_is_cancelled() -> None:
    sleep(0.0, lambda: False)
    answers = iter([False, False, True])
    with pytest.raises(Cancelled):
        sleep(3600.0, lambda: next(answers))


def test_errors_of_the_other_thread_come_here() -> None:
    def work() -> Generator[int, None, None]:
        yield 1
        raise KeyError("x")

    items = in_background(work(), lambda: False)
    assert next(items) == 1
    with pytest.raises(KeyError):
        next(items)
    assert call_in_background(threading.current_thread, lambda: False) is not threading.current_thread()


def test_leaving_early_interrupts_and_ends_the_thread() -> None:
    ended, woken = threading.Event(), threading.Event()

    def work() -> Generator[int, None, None]:
        try:
            yield 1
            woken.wait()
            yield 2
        finally:
            ended.set()

    items = in_background(work(), lambda: False, woken.set)
    assert next(items) == 1
    items.close()
    assert ended.wait(30)


def test_a_slow_reader_holds_the_network_back() -> None:
    made = []

    def work() -> Generator[int, None, None]:
        for number in range(10_000):
            made.append(number)
            yield number

    items = in_background(work(), lambda: False)
    assert next(items) == 0
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        assert len(made) < 200
    assert [next(items) for _ in range(500)] == list(range(1, 501))
    items.close()
