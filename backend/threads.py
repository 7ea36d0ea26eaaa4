# SPDX-License-Identifier: GPL-3.0-or-later
"""How PyTorch's CPU threads behave. To be called before torch is imported."""

import contextlib
import os
import sys
import threading

SPINS = 300_000
"""How often a waiting thread of GNU's OpenMP looks before it sleeps, while nobody else wants the cores: its
own default, some milliseconds."""
FEW_SPINS = 1000
"""The same where nobody can tell whether somebody does."""
WATCHED = "MVDREAM_WATCHED"
"""A variable that is there where threads look so often that `backend.spinning` must watch them."""

_OWN = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
_BOUND = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"}
"""With these OpenMP counts processors in a way that PyTorch does not show."""

_MOST_EXTRA = 64


def share_cores() -> None:
    """Makes threads that wait stand back behind other programs, if `backend.spinning` watches them.

    An artist's machine is never idle: Blender renders beside the job. With OpenMP's default a thread that
    waits burns the core that another one needs, and a step of 0.2 s was seen to take 9 s. Not to look at all
    is no better on idle cores: most waits are short, and waking up takes longer. `backend.spinning` changes
    between the two; a fixed number has to do where it can't. docs/performance.md has figures. The user's own
    settings win.
    """
    if not _OWN & os.environ.keys():
        watched = _keeps_account() and _team_is_large() and not _BOUND & os.environ.keys()
        if watched:
            os.environ[WATCHED] = "1"
        # Read by the OpenMP of PyTorch for Linux alone.
        os.environ["GOMP_SPINCOUNT"] = str(SPINS if watched else FEW_SPINS)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def few_spins() -> None:
    """For one of several processes that share the cores anyway: nobody needs to watch it."""
    if os.environ.pop(WATCHED, None):
        os.environ["GOMP_SPINCOUNT"] = str(FEW_SPINS)


def _team_is_large() -> bool:
    """Whether OpenMP, with few more threads, has more than processors: a watch may have to start them."""
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    team = os.environ.get("OMP_NUM_THREADS", "")
    # PyTorch takes a thread for each core, which may be two processors.
    return processors - (int(team) if team.isdecimal() else processors // 2) <= _MOST_EXTRA


def _keeps_account(path: str = "/proc/self/schedstat") -> bool:
    """Whether Linux tells how long threads stood in line for a core; some kernels have nothing but zeros."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return any(int(number) for number in file.read().split())
    return False


def lower_priority() -> None:
    """Lets the calling thread, and no other, stand back behind all that works now; where that can be had.

    Threads it starts inherit it. A process could not get back what it gave away.
    """
    if sys.platform == "linux":  # a thread's own there, though POSIX says otherwise
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
