# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads that wait for work keep looking for it while nobody else wants their cores, and sleep otherwise.

One that looks is there at once, but burns a core; one that sleeps must be woken, hundreds of times a step.
GNU's OpenMP, which PyTorch has on Linux, takes the number of looks from GOMP_SPINCOUNT once and for all, with
one exception: while there are more of its threads than processors, they do not look at all (its manual; where
OMP_WAIT_POLICY is passive). So when others want the cores, threads are started that only exist.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backend.threads import SPINS

PERIOD = 0.2
"""Seconds between two looks at how long threads stood in line for a core."""
_CROWDED, _CALM = 0.1, 0.05
"""Seconds in line, of all threads together, per second; alone it is less than 0.02."""
_LOOKS = 5
"""As many calm ones in a row, and the cores are taken to be free again."""
_MOST_STARTERS = 16


@contextmanager
def spinning_while_alone() -> Iterator[None]:
    """Within it idle threads look for work till others want the cores. Where that can't be told: nothing.

    It wants PyTorch, and `share_cores` before that was imported; the user's own settings win.
    """
    starters = _starters()
    if not starters:
        yield
        return
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(stop, *starters), name="spinning", daemon=True)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join()


class Contention:
    """Whether others want the cores: at once when it shows, and until it has not shown for some time."""

    def __init__(self) -> None:
        self.present = False
        self._calm = 0

    def look(self, in_line: float) -> bool:
        """in_line: seconds that threads stood in line for a core, per second since the last look."""
        self._calm = self._calm + 1 if in_line < _CALM else 0
        self.present = in_line > _CROWDED or (self.present and self._calm < _LOOKS)
        return self.present


class Line:
    """How long this process's threads stand in line for a core."""

    def __init__(self, tasks: Path = Path("/proc/self/task")) -> None:
        self._tasks = tasks
        self._before = self._read()

    def seconds(self) -> float:
        """Of all threads together, since the last call."""
        before, self._before = self._before, self._read()
        waited = (after - before.get(thread, 0) for thread, after in self._before.items())
        return sum(waited) / 1e9

    def _read(self) -> dict[str, int]:
        """Nanoseconds since each thread began."""
        found: dict[str, int] = {}
        for thread in os.listdir(self._tasks):
            with suppress(OSError):  # it may have ended meanwhile
                found[thread] = int((self._tasks / thread / "schedstat").read_text().split()[1])
        return found


class Crowd:
    """Threads of OpenMP that sleep until they are told to go.

    starters: threads of Python that each start a team; team: threads of one, its starter included.
    """

    def __init__(self, starters: int, team: int) -> None:
        self._gone = threading.Event()
        self._starters = [
            threading.Thread(target=self._stay, args=(team,), name="crowd", daemon=True)
            for _ in range(starters)
        ]
        for thread in self._starters:
            thread.start()

    def leave(self) -> None:
        """Ends them: a team ends with its starter."""
        self._gone.set()
        for thread in self._starters:
            thread.join()

    def _stay(self, team: int) -> None:
        import torch

        if torch.get_num_threads() != team:  # another thread may have changed what new ones begin with
            torch.set_num_threads(team)
        torch.zeros(1 << 17).add_(1)  # more than one thread's share, so that a team is started for it
        self._gone.wait()


def _watch(stop: threading.Event, starters: int, team: int) -> None:
    contention, line, crowd, since = Contention(), Line(), None, time.monotonic()
    while not stop.wait(PERIOD):
        now = time.monotonic()
        crowded, since = contention.look(line.seconds() / (now - since)), now
        if crowded and crowd is None:
            crowd = Crowd(starters, team)
        elif crowd is not None and not crowded:
            crowd.leave()
            crowd = None
    if crowd is not None:
        crowd.leave()


def _starters() -> tuple[int, int] | None:
    """(how many starters make more threads than processors, threads of a team); None where nothing spins."""
    if sys.platform != "linux" or os.environ.get("GOMP_SPINCOUNT") != str(SPINS):
        return None
    import torch

    team, processors = torch.get_num_threads(), len(os.sched_getaffinity(0))
    if team < 2:
        return None
    starters = max(1, (processors - team) // (team - 1) + 1)
    # Where so many processors are left nobody stands in line.
    return (starters, team) if starters <= _MOST_STARTERS else None
