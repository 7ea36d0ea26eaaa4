# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes that end when this one does, also on Ctrl-C."""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from backend.commands.interruption import take, told_to_end

# They steer a Python, and here they are meant for another one than the child's.
_FOREIGN = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONEXECUTABLE",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
)
WINDOWS_CTRL_C = 0xC000013A
"""What a program ends with that Ctrl-C ends on Windows, where no code is negative."""
PATIENCE_SECONDS = 15.0


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what steers this Python, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return kept | {"PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1"} | dict(extra or {})


class Terminated(KeyboardInterrupt):
    """This process alone was told to end; its children know nothing of it."""


@contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """A child that is gone when the block is left. Ctrl-C reaches it too: it is in the terminal's group."""
    process = subprocess.Popen(list(command), **options)
    try:
        yield process
    except BaseException as error:
        _end(process, knows=isinstance(error, KeyboardInterrupt) and not isinstance(error, Terminated))
        raise
    finally:
        process.wait()


def lines(process: "subprocess.Popen[str]", idle: Callable[[], None]) -> Iterator[str]:
    """The lines that a child writes, as they come; `idle` is called once a second while it is silent."""
    arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            arrived.put(line)
        arrived.put(None)

    # A pipe can't be waited for with a time limit on Windows, a queue can.
    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = arrived.get(timeout=1.0)
        except queue.Empty:
            idle()
            continue
        if line is None:
            return
        yield line


def run(command: Sequence[str], **options: Any) -> int:
    """Runs a command to its end and returns its exit code."""
    with child(command, **options) as process:
        return process.wait()


def code_of(command: Sequence[str], **options: Any) -> int:
    """As `run`, but after Ctrl-C, too, the child's own code: it may have been done already.

    Raises:
        KeyboardInterrupt: Ctrl-C came, and a signal has ended the child.
    """
    process: subprocess.Popen[Any] | None = None
    try:
        with child(command, **options) as process:
            return process.wait()
    except KeyboardInterrupt:
        code = None if process is None else process.poll()
        if code is None or code < 0 or code == WINDOWS_CTRL_C:
            raise
        return code


def stop_on_signals() -> None:
    """Being told to end (a closed terminal, a service manager) is like Ctrl-C: children first, then this."""

    def interrupt(_number: int, _frame: object) -> None:
        raise Terminated

    take(told_to_end(), interrupt)


def _end(process: "subprocess.Popen[Any]", knows: bool) -> None:
    """Politely first: a child may have children to end, and a second Ctrl-C would disturb it at that.

    Args:
        knows: it should have got the terminal's Ctrl-C itself.
    """
    steps = [(_interrupt, PATIENCE_SECONDS), (_terminate, PATIENCE_SECONDS), (_kill, PATIENCE_SECONDS)]
    if knows:
        steps.insert(0, (_nothing, 3.0))
    elif signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        del steps[0]  # as a script starts what it does not wait for; children have that from us
    for ask, patience in steps:
        try:
            ask(process)
            process.wait(patience)
            return
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue


def _nothing(process: "subprocess.Popen[Any]") -> None:
    pass


def _interrupt(process: "subprocess.Popen[Any]") -> None:
    if os.name == "nt":
        process.terminate()
    else:
        process.send_signal(signal.SIGINT)


def _terminate(process: "subprocess.Popen[Any]") -> None:
    process.terminate()


def _kill(process: "subprocess.Popen[Any]") -> None:
    process.kill()
