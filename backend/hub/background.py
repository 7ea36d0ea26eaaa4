# SPDX-License-Identifier: GPL-3.0-or-later
"""Network work in a thread of its own, so that whoever waits can be stopped while the network is silent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from queue import Empty, Full, Queue
from typing import TypeVar

from backend.errors import Cancelled
from backend.hub.patience import POLL

T = TypeVar("T")

# Parts of a file that may wait to be written: a slow disk must slow the network down, not fill the memory.
_AHEAD = 64


class _End:
    """The last thing in the queue, with the error that ended the work."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def in_background(
    work: Generator[T, None, None],
    cancelled: Callable[[], bool],
    interrupt: Callable[[], None] = lambda: None,
) -> Iterator[T]:
    """Yields what `work` yields and raises what it raises; `work` runs in a daemon thread.

    Raises Cancelled within POLL seconds of `cancelled()`. However the iteration ends, `interrupt` is called:
    it should make a blocked `work` fail. A thread that stays blocked even so (a name look-up cannot be
    interrupted) has nothing but its own socket, and its results go nowhere.
    """
    queue: Queue[T | _End] = Queue(maxsize=_AHEAD)
    stopped = threading.Event()
    threading.Thread(target=_produce, args=(work, queue, stopped), name="hub", daemon=True).start()
    try:
        while True:
            item = _next(queue, cancelled)
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        interrupt()


def call_in_background(function: Callable[[], T], cancelled: Callable[[], bool]) -> T:
    """The result of `function`, which runs in a daemon thread. Raises Cancelled like `in_background`."""

    def work() -> Generator[T, None, None]:
        yield function()

    results = list(in_background(work(), cancelled))
    return results[0]


def _next(queue: Queue[T | _End], cancelled: Callable[[], bool]) -> T | _End:
    while True:
        if cancelled():
            raise Cancelled
        try:
            return queue.get(timeout=POLL)
        except Empty:
            continue


def _produce(work: Generator[T, None, None], queue: Queue[T | _End], stopped: threading.Event) -> None:
    error: BaseException | None = None
    try:
        with closing(work):
            for item in work:
                if not _offer(queue, item, stopped):
                    break
    except BaseException as caught:  # noqa: BLE001 - raised again in the thread that waits
        error = caught
    _offer(queue, _End(error), stopped)


def _offer(queue: Queue[T | _End], item: T | _End, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            queue.put(item, timeout=POLL)
        except Full:
            continue
        return True
    return False
