# SPDX-License-Identifier: GPL-3.0-or-later
"""In what order two streams are asked for work; the streams are stand-ins that note what they are told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from backend.ahead import Ahead, Leash

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


class Stream:
    def __init__(self, card: "Card", name: str) -> None:
        self.card, self.name = card, name

    def wait_stream(self, other: "Stream") -> None:
        self.card.done.append(f"{self.name} waits for {other.name}")


class Card:
    """A device with the stream everybody uses and, from when it is made, another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.current = self.main = Stream(self, "main")
        self.ends = 0
        card = self

        class Event:
            def __init__(self, blocking: bool = False) -> None:
                card.ends += 1
                self.number, self.blocking = card.ends, blocking

            def record(self, stream: Stream) -> None:
                card.done.append(f"end {self.number} in {stream.name}")

            def synchronize(self) -> None:
                assert self.blocking
                card.done.append(f"CPU waits for {self.number}")

        @contextmanager
        def stream(chosen: Stream) -> Iterator[None]:
            before, card.current = card.current, chosen
            yield
            card.current = before

        monkeypatch.setattr(torch.cuda, "Stream", lambda device, priority: Stream(self, "side"))
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self.current)
        monkeypatch.setattr(torch.cuda, "stream", stream)

    def work(self, what: str) -> None:
        self.done.append(f"{what} in {self.current.name}")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    return Card(monkeypatch)


class Result:
    """A tensor as far as it is told who else uses its memory."""

    def __init__(self) -> None:
        self.users: list[str] = []

    def record_stream(self, stream: Stream) -> None:
        self.users.append(stream.name)


def test_the_first_work_sees_what_was_asked_before_and_the_next_does_not_wait_again(card: Card) -> None:
    ahead = Ahead(CUDA)
    for _ in range(2):
        with ahead.work():
            card.work("marching")
        card.work("rendering")
    assert card.done == [
        "side waits for main",
        "marching in side",
        "rendering in main",
        "marching in side",
        "rendering in main",
    ]


def test_after_a_change_it_catches_up_once(card: Card) -> None:
    ahead = Ahead(CUDA)
    with ahead.work():
        pass
    ahead.catch_up()
    assert card.done.count("side waits for main") == 1  # not before there is work
    for _ in range(2):
        with ahead.work():
            pass
    assert card.done.count("side waits for main") == 2


def test_results_are_handed_over_with_their_memory(card: Card) -> None:
    ahead, result = Ahead(CUDA), Result()
    with ahead.work():
        card.work("marching")
    results: Any = [result]
    ahead.hand_over(results)
    card.work("rendering")
    assert card.done[-2:] == ["main waits for side", "rendering in main"]
    assert result.users == ["main"]


def test_the_cpu_waits_for_the_step_before_the_last_but_one(card: Card) -> None:
    leash = Leash(CUDA, steps=2)
    for step in range(1, 5):
        card.work(f"step {step}")
        leash.step()
    assert card.done == [
        "step 1 in main", "end 1 in main",
        "step 2 in main", "end 2 in main",
        "step 3 in main", "end 3 in main", "CPU waits for 1",
        "step 4 in main", "end 4 in main", "CPU waits for 2",
    ]  # fmt: skip


def test_without_a_card_everything_is_in_order() -> None:
    ahead, leash = Ahead(CPU), Leash(CPU)
    ahead.catch_up()
    with ahead.work():
        found = torch.ones(2)
    ahead.hand_over([found])
    for _ in range(4):
        leash.step()
    assert found.sum() == 2
