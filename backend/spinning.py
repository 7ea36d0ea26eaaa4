# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that wait for work keep looking for it while nobody else wants their cores, and sleep otherwise.

One that looks is there at once, but burns a core; one that sleeps must be woken, hundreds of times a step.
GNU's OpenMP, which PyTorch has on Linux, takes the number of looks from GOMP_SPINCOUNT once and for all, with
one exception: while there are more of its threads than processors, they do not look at all (its manual; where
OMP_WAIT_POLICY is passive). So when others want the cores, threads are started that only exist.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from backend.threads import WATCHED

log = logging.getLogger(__name__)

PERIOD = 0.2
"""Seconds between two looks at how long threads stood in line for a core."""
CROWDED, CROWDED_BY_THREAD = 0.11, 0.02
"""Seconds in line, of all threads together, per second: others want the cores if it is more than the first,
and for each thread the second, at two looks in a row.

Two threads alone have 0.004, and 0.1 at times while a model is loaded, beside one program 0.7. Sixteen alone
had more than 0.15 at some looks. With a program more than cores, half a thread or more waits at any time.
"""
FIRST_HOLD, LONGEST_HOLD = 1.0, 8.0
"""Seconds of sleep till the next try."""


@contextmanager
def spinning_while_alone() -> Iterator[None]:
    """Within it idle threads look for work till others want the cores. Also a decorator.

    For all that computes on processors for long: by `share_cores` its threads look whether or not anybody
    watches. Does nothing where these have other orders, from the user for example.
    """
    team, crowd = _teams()
    if crowd == 0:
        yield
        return
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(stop, team, crowd), name="spinning", daemon=True)
    watch.start()
    log.debug("Teams of %d threads; %d more make them sleep.", team, crowd - 1)
    try:
        yield
    finally:
        stop.set()
        watch.join()


class Turns:
    """When threads may look, and when they are to sleep.

    Whether others want the cores shows while threads look for work: those that sleep leave them free. So
    after some time they try again, each time that was in vain later.
    """

    def __init__(self, team: int) -> None:
        self.asleep = False
        self._limit = CROWDED + CROWDED_BY_THREAD * team
        self._crowded = 0
        self._hold = FIRST_HOLD
        self._since = 0.0

    def look(self, in_line: float, now: float) -> bool:
        """Whether they are to sleep from now on.

        in_line: seconds that threads stood in line for a core, per second since the last look; now: seconds.
        """
        if self.asleep:
            self.asleep = now - self._since < self._hold
            if not self.asleep:
                self._since = now
            return self.asleep
        self._crowded = self._crowded + 1 if in_line > self._limit else 0
        if self._crowded > 1:
            self._crowded = 0
            in_vain = now - self._since < self._hold
            self._hold = min(2 * self._hold, LONGEST_HOLD) if in_vain else FIRST_HOLD
            self.asleep, self._since = True, now
        return self.asleep


class Line:
    """How long this process's threads stand in line for a core."""

    def __init__(self, tasks: str = "/proc/self/task") -> None:
        self._tasks = tasks
        self._before: dict[str, int] | None = None

    def seconds(self) -> float:
        """Of all threads together, since the last call, 0 at the first. Raises OSError if nothing is told."""
        now = self._read()
        before = now if self._before is None else self._before
        self._before = before | now  # who could not be read just now is not new at the next look
        return sum(after - before.get(thread, 0) for thread, after in now.items()) / 1e9

    def _read(self) -> dict[str, int]:
        """Nanoseconds since each thread began."""
        found: dict[str, int] = {}
        for thread in os.listdir(self._tasks):
            with suppress(OSError), open(f"{self._tasks}/{thread}/schedstat", "rb", buffering=0) as file:
                numbers = file.read().split()  # it may have ended meanwhile
                if len(numbers) > 1:
                    found[thread] = int(numbers[1])
        return found


class Crowd:
    """A team of OpenMP whose threads sleep until they are told to go.

    team: its threads, the one that starts it included. Raises RuntimeError where the system refuses that one;
    OpenMP itself ends the process where it refuses the others.
    """

    def __init__(self, team: int) -> None:
        self._gone = threading.Event()
        self._starter = threading.Thread(target=self._stay, args=(team,), name="crowd", daemon=True)
        self._starter.start()

    def leave(self) -> None:
        """Ends them: a team ends with its starter."""
        self._gone.set()
        self._starter.join()

    def _stay(self, team: int) -> None:
        import torch

        torch.get_num_threads()  # settles what this thread has, as its first question of this kind
        try:
            # Of this thread alone. PyTorch's own call is for all threads to come, and starts some for itself.
            ctypes.CDLL(None).omp_set_num_threads(team)
        except AttributeError:  # its OpenMP is hidden
            torch.set_num_threads(team)
        torch.zeros(1 << 17).add_(1)  # more than one thread's share, so that a team is started for it
        self._gone.wait()


def _watch(stop: threading.Event, team: int, extra: int) -> None:
    turns, line, since = Turns(team), Line(), time.monotonic()
    crowd: Crowd | None = None
    try:
        while not stop.wait(PERIOD):
            try:
                waited = line.seconds()
            except OSError:
                waited = math.inf  # who can't tell stands back
            now = time.monotonic()
            asleep, since = turns.look(waited / max(now - since, PERIOD), now), now
            if asleep and crowd is None:
                with suppress(RuntimeError):  # no more threads are to be had at present
                    crowd = Crowd(extra)
            elif crowd is not None and not asleep:
                crowd.leave()
                crowd = None
    finally:
        if crowd is not None:
            crowd.leave()


def _teams() -> tuple[int, int]:
    """(threads of a team, those of a crowd: with both there are more than processors); 0 for none."""
    if sys.platform != "linux" or WATCHED not in os.environ:
        return 1, 0
    import torch

    team, processors = torch.get_num_threads(), len(os.sched_getaffinity(0))
    return team, max(2, processors - team + 2) if team > 1 else 0
