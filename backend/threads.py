# SPDX-License-Identifier: GPL-3.0-or-later
"""How PyTorch's CPU threads behave. To be called before torch is imported."""

import contextlib
import os
import sys
import threading


def share_cores() -> None:
    """Makes waiting threads sleep instead of spin.

    An artist's machine is never idle: Blender renders beside the job. With OpenMP's default a thread that
    waits burns the core that another one needs, and a step of 0.2 s was seen to take 9 s. The user's own
    setting wins.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def lower_priority() -> None:
    """Lets the calling thread, and no other, stand back behind all that works now; where that can be had.

    Threads it starts inherit it. A process could not get back what it gave away.
    """
    if sys.platform == "linux":  # a thread's own there, though POSIX says otherwise
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
