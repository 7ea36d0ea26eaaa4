# SPDX-License-Identifier: GPL-3.0-or-later
"""How long to wait for a hub, and how often to try again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from backend.errors import Cancelled, UserError

# How long a wish to stop may go unnoticed, in seconds.
POLL = 0.1


@dataclass(frozen=True)
class Patience:
    """Times in seconds.

    answer: to connect, and for the answer about a file. stall: without a single byte, before a transfer
    counts as broken. retries: in a row without a byte gained; asking about the file is tried again only
    `answer_retries` times, for whoever has no network should not wait long to hear it. The waits between
    double from `first_wait` to `longest_wait`.
    """

    answer: float = 10.0
    stall: float = 20.0
    retries: int = 6
    answer_retries: int = 2
    first_wait: float = 1.0
    longest_wait: float = 30.0

    @classmethod
    def from_environment(cls) -> Self:
        """With the two times that users of huggingface_hub set. Raises UserError for what is no time."""
        return cls(
            answer=_seconds("HF_HUB_ETAG_TIMEOUT", cls.answer),
            stall=_seconds("HF_HUB_DOWNLOAD_TIMEOUT", cls.stall),
        )

    def wait_before(self, attempt: int) -> float:
        """Seconds to wait before attempt 1, 2, ... after a failure."""
        return min(self.first_wait * 2.0 ** (attempt - 1), self.longest_wait)


def sleep(seconds: float, cancelled: Callable[[], bool]) -> None:
    """Waits, and raises Cancelled as soon as that is wanted."""
    deadline = time.monotonic() + seconds
    while True:
        if cancelled():
            raise Cancelled
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, POLL))


def _seconds(variable: str, default: float) -> float:
    text = os.environ.get(variable)
    if not text:
        return default
    # huggingface_hub takes whole seconds only, and would stop with a traceback on anything else.
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"{variable} must be a whole number of seconds above 0, not {text!r}.")
    return float(text)
