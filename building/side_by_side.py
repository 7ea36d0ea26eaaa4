# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of which some run at a time, and whose output is shown whole, one after the other."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from building import children
from building.console import ProgressLine, duration, say

POLL_SECONDS = 0.1
_PERCENT = re.compile(r"\[ *(\d+)%\]")
_TAIL_BYTES = 2000


@dataclass(frozen=True)
class Task:
    """A command and what it is called in front of people."""

    title: str
    command: Sequence[str]


@dataclass(frozen=True)
class Ended:
    """What came of a task."""

    task: Task
    code: int
    seconds: float


def run(tasks: Sequence[Task], at_once: int, **options: Any) -> list[Ended]:
    """Runs all tasks, begun in their order, `at_once` of them at a time; one that fails stops no other.

    A line tells when one begins and when it ends, and what it wrote follows in the order of the tasks. On
    Ctrl-C all children end, and what they wrote until then is shown. With `at_once` 1 they have the terminal
    to themselves.

    Args:
        options: of each child process.
    """
    if at_once <= 1:
        return [_alone(task, options) for task in tasks]
    with tempfile.TemporaryDirectory(prefix="mvdream-output-") as folder:
        started: list[_Started] = []
        try:
            with ExitStack() as stack:
                _work(tasks, at_once, started, Path(folder), stack, options)
        finally:
            for each in started:
                each.show()
    return [Ended(each.task, each.code or 0, each.seconds) for each in started]


def _alone(task: Task, options: dict[str, Any]) -> Ended:
    say(f"\n== {task.title}")
    start = time.monotonic()
    code = children.run(task.command, **options)
    return Ended(task, code, time.monotonic() - start)


class _Started:
    """A task whose process was started; its output goes to a file."""

    def __init__(self, task: Task, output: Path, stack: ExitStack, options: dict[str, Any]) -> None:
        self.task = task
        self.code: int | None = None
        self.seconds = 0.0
        self._output, self._shown = output, False
        self._start = time.monotonic()
        with output.open("wb") as file:
            wired = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT}
            self._process = stack.enter_context(children.child(task.command, **options, **wired))

    def has_just_ended(self) -> bool:
        """True once, when the process is found to be over."""
        if self.code is not None:
            return False
        self.code = self._process.poll()
        self.seconds = time.monotonic() - self._start
        return self.code is not None

    def progress(self) -> str:
        """The title, and the last percentage that the task wrote."""
        with self._output.open("rb") as file:
            file.seek(max(0, self._output.stat().st_size - _TAIL_BYTES))
            found = _PERCENT.findall(file.read().decode("utf-8", "replace"))
        return f"{self.task.title} {found[-1]}%" if found else self.task.title

    def show(self) -> None:
        """Prints what was written; the first time only."""
        if not self._shown:
            self._shown = True
            broken = "" if self.code is not None else " (broken off)"
            say(f"\n== {self.task.title}{broken}")
            say(self._output.read_text("utf-8", "replace").rstrip("\n"))


def _work(
    tasks: Sequence[Task],
    at_once: int,
    started: list[_Started],
    folder: Path,
    stack: ExitStack,
    options: dict[str, Any],
) -> None:
    """Starts the tasks and waits until all are over. started: gets them, so that who interrupts has them."""
    line = ProgressLine("Running") if sys.stdout.isatty() else None
    while True:
        running = [each for each in started if each.code is None]
        for each in running:
            if each.has_just_ended():
                _tell(line, f"{each.task.title}: ended after {duration(each.seconds)}{_fault(each.code)}")
                _show_in_order(line, started)
        running = [each for each in running if each.code is None]
        while len(running) < at_once and len(started) < len(tasks):
            task = tasks[len(started)]
            _tell(line, f"{task.title}: begins")
            running.append(_Started(task, folder / f"{len(started)}.txt", stack, options))
            started.append(running[-1])
        if not running:
            return
        if line is not None:
            line.show(", ".join(each.progress() for each in running))
        time.sleep(POLL_SECONDS)


def _show_in_order(line: ProgressLine | None, started: Sequence[_Started]) -> None:
    """Prints what is over and has only such before it."""
    if line is not None:
        line.clear()
    for each in started:
        if each.code is None:
            return
        each.show()


def _tell(line: ProgressLine | None, text: str) -> None:
    if line is not None:
        line.clear()
    say(text)


def _fault(code: int | None) -> str:
    return f", exit code {code}" if code else ""
