# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C as a question that long work asks now and then, so that it can end with everything kept."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self


class Interruption:
    """While it is entered: the first Ctrl-C is remembered (calling this gives True), the second ends at once.

    Where signals can't be taken, outside the main thread, Ctrl-C stays what it was.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __call__(self) -> bool:
        return self._asked

    def __enter__(self) -> Self:
        try:
            self._before = signal.signal(signal.SIGINT, self._remember)
        except ValueError:
            self._before = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
