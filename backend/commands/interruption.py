# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C, and being told to end, as a question that long work asks: so it ends with everything kept.

Standard library only: `building` uses it, too.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

PAUSE_SECONDS = 0.5


class Interruption:
    """While it is entered: the first signal is remembered (calling this gives True), the second ends at once.

    Half a second must lie between: who started this may have been told, too, and hands it on.
    Signals: Ctrl-C, a service manager's or `kill`'s, a terminal's that is closed. What was ignored before
    (`nohup`) stays so. Where signals can't be taken, outside the main thread, they stay what they were.
    """

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self._asked_at is not None

    def __enter__(self) -> Self:
        self._before = take((signal.SIGINT, *told_to_end()), self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        give_back(self._before)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at >= PAUSE_SECONDS:
            raise KeyboardInterrupt


@contextmanager
def being_told_to_end_is_ctrl_c() -> Iterator[None]:
    """While it is entered, KeyboardInterrupt is raised for the other signals of `Interruption`, too."""
    before = take(told_to_end(), signal.default_int_handler)
    try:
        yield
    finally:
        give_back(before)


def told_to_end() -> tuple[int, ...]:
    """The signals, of those that this system has, that tell a process to end."""
    names = ("SIGTERM", "SIGHUP", "SIGBREAK")
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


def take(numbers: tuple[int, ...], handler: Any) -> dict[int, Any]:
    """Sets the handler of those that are not ignored; what they had before."""
    before: dict[int, Any] = {}
    for number in numbers:
        if signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            before[number] = signal.signal(number, handler)
        except ValueError:  # not in the main thread
            break
    return before


def give_back(before: dict[int, Any]) -> None:
    """Sets the handlers that `take` returned."""
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
