# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs as a terminal starts them."""

import signal
import subprocess
from collections.abc import Sequence
from typing import Any


def in_foreground(command: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
    """A program that hears Ctrl-C, its output and errors in pipes. POSIX.

    A runner that was started in the background of a shell ignores SIGINT, and its children would, too.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        command,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **{**pipes, **options},
    )
