# SPDX-License-Identifier: GPL-3.0-or-later
"""How PyTorch's CPU threads behave. To be called before torch is imported."""

import contextlib
import os
import sys
import threading

SPINS = 1000
"""How often a waiting thread of GNU's OpenMP looks before it sleeps: some ten microseconds."""
SPINS_OF_AMD = 3000
"""The pause between two looks is several times shorter there."""


def share_cores() -> None:
    """Makes threads that wait sleep soon instead of spin.

    An artist's machine is never idle: Blender renders beside the job. With OpenMP's default a thread that
    waits burns the core that another one needs, and a step of 0.2 s was seen to take 9 s. Not to look at all
    is no better: most waits are short, and waking up takes longer. On two idle cores a step of the shipped
    model takes 163 to 178 ms without a look, 134 with a thousand and 121 with ten thousand; where another
    program takes one of the cores, it is 227, 261 and 574. On an EPYC it is 252, 198 and 165 with a thousand,
    three and ten thousand, and 311, 384 and 615; docs/performance.md has a Xeon. The user's own settings win.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(spins())  # read by the OpenMP of PyTorch for Linux alone
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def spins(cpu_info: str = "/proc/cpuinfo") -> int:
    """How often to look on this processor, by the file in which Linux describes it."""
    with contextlib.suppress(OSError), open(cpu_info, "rb") as file:
        return SPINS_OF_AMD if b"AuthenticAMD" in file.read(1024) else SPINS
    return SPINS


def lower_priority() -> None:
    """Lets the calling thread, and no other, stand back behind all that works now; where that can be had.

    Threads it starts inherit it. A process could not get back what it gave away.
    """
    if sys.platform == "linux":  # a thread's own there, though POSIX says otherwise
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
