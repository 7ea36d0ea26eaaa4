# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that waits without blocking, and without threads. Never imports bpy.

A piece of work is a generator. It yields things to wait for (a request, a child process, a delay) and is
resumed when they are there; `yield from` composes it. In a window `bpy.app.timers` calls `Task.tick`; without
one, `run` does so until the work is done.
"""

import time
from collections.abc import Callable, Generator
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Waitable(Protocol):
    """Something that will be ready at some time."""

    def poll(self) -> bool:
        """Go on as far as possible without blocking; True when there is nothing to wait for. Never raises."""

    def close(self) -> None:
        """Give up and free what is held. May be called at any time, more than once."""


Steps = Generator[Waitable, None, T]


class Delay:
    """Ready after some seconds."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def poll(self) -> bool:
        return time.monotonic() >= self._until

    def close(self) -> None:
        self._until = 0.0


class Until:
    """Ready when a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def poll(self) -> bool:
        return self._condition()

    def close(self) -> None:
        pass


class Task(Generic[T]):
    """One piece of work under way."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._waiting: Waitable | None = None
        self._result: T | None = None
        self.done = False

    def tick(self) -> bool:
        """Go on as far as possible without blocking; True when the work is done.

        Raises what the work raises; it is over then.
        """
        while not self.done:
            if self._waiting is not None and not self._waiting.poll():
                return False
            try:
                self._waiting = next(self._steps)
            except StopIteration as stop:
                self._result = stop.value
                self.done = True
            except BaseException:
                self.done = True
                raise
        return True

    def result(self) -> T:
        """What the work returned. Only after `tick` said True."""
        if not self.done:
            raise RuntimeError("the work is not done")
        return self._result  # type: ignore[return-value]

    def close(self) -> None:
        """Drop the work: its `finally` blocks run, what it waited for is closed."""
        self.done = True
        if self._waiting is not None:
            self._waiting.close()
        self._steps.close()


def run(steps: Steps[T], timeout: float | None = None, pause: float = 0.02) -> T:
    """Do the work to its end, blocking.

    Args:
        timeout: seconds it may take; None for no limit.
        pause: seconds between two looks at what is waited for.

    Raises:
        TimeoutError: it took longer. What the work raises passes through.
    """
    task = Task(steps)
    limit = None if timeout is None else time.monotonic() + timeout
    try:
        while not task.tick():
            if limit is not None and time.monotonic() >= limit:
                raise TimeoutError(f"not done after {timeout:g} seconds")
            time.sleep(pause)
        return task.result()
    finally:
        task.close()
