# SPDX-License-Identifier: GPL-3.0-or-later
"""What people at a terminal, and readers of a log, see of a job."""

import io
import logging

import pytest

from backend.commands import progress_bar
from backend.commands.progress_bar import ProgressBar, format_seconds
from backend.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (12.3, "12 s"), (59.4, "59 s"), (59.6, "1:00"), (75, "1:15"), (3605, "60:05")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_log_gets_a_line_for_each_stage_and_tenth() -> None:
    log = io.StringIO()
    with ProgressBar(log) as bar:
        bar(Progress("load", message="Loading"))
        for step in range(101):
            bar(Progress("distil", step, 100, step / 100, 100.0 - step, "Shaping"))
    lines = log.getvalue().splitlines()
    assert len(lines) == 1 + 11
    assert lines[0] == "[" + "." * 30 + "]   0% Loading"
    assert lines[6] == "[" + "#" * 15 + "." * 15 + "]  50% Shaping 50/100, 50 s left"
    assert "\r" not in log.getvalue()


def test_a_log_gets_a_line_for_each_message_but_not_for_its_numbers() -> None:
    log = io.StringIO()
    with ProgressBar(log) as bar:
        for message in (
            "Loading",
            "Loading small",
            "Loading small",
            "Fetching: 1.2 of 9 MB",
            "Fetching: 3 of 9 MB",
        ):
            bar(Progress("load", message=message))
    assert [line.partition("0% ")[2] for line in log.getvalue().splitlines()] == [
        "Loading",
        "Loading small",
        "Fetching: 1.2 of 9 MB",
    ]


def test_what_is_logged_comes_above_the_bar() -> None:
    terminal = Terminal()
    handler = logging.StreamHandler(terminal)
    logger = logging.getLogger()
    logger.addHandler(handler)
    try:
        with ProgressBar(terminal) as bar:
            bar(Progress("load", message="Loading"))
            bar_line = terminal.getvalue()
            logger.warning("Going on.")
            bar.say("On it goes.")
            assert terminal.getvalue() == (
                f"{bar_line}\r\x1b[2KGoing on.\n{bar_line[5:]}\r\x1b[2KOn it goes.\n{bar_line[5:]}"
            )
        terminal.truncate(0)
        terminal.seek(0)
        logger.warning("Afterwards.")
        assert terminal.getvalue() == "Afterwards.\n"
    finally:
        logger.removeHandler(handler)


def test_a_bar_that_was_never_drawn_leaves_nothing() -> None:
    terminal = Terminal()
    with ProgressBar(terminal):
        pass
    assert terminal.getvalue() == ""


def test_a_terminal_gets_one_line_that_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 1.05, 1.2, 1.21])
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: next(times))
    terminal = Terminal()
    with ProgressBar(terminal) as bar:
        for fraction in (0.0, 0.3, 0.6, 1.0):
            bar(Progress("distil", fraction=fraction))
    drawn = terminal.getvalue().split("\r\x1b[2K")[1:]
    # The second came too soon after the first; the last is always shown.
    assert [line.split("]")[1].strip() for line in drawn] == ["0%", "60%", "100%"]
    assert terminal.getvalue().endswith("\n")
    assert terminal.getvalue().count("\n") == 1


def test_a_line_of_its_own() -> None:
    log = io.StringIO()
    ProgressBar(log).say("mesh.glb")
    assert log.getvalue() == "mesh.glb\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_terminal_that_is_gone_ends_no_work(terminal: bool) -> None:
    class Gone(io.StringIO):
        def isatty(self) -> bool:
            return terminal

        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    with ProgressBar(Gone()) as bar:
        bar(Progress("load", message="Loading"))
        bar.say("Half of it is there.")
        bar(Progress("distil", 1, 2, 1.0, 0.0, "Shaping"))
