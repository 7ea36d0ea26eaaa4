# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs lint, types and all suites of tests, and adds up what came out."""

import os
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from building import children, side_by_side, suites
from building.console import duration, say
from building.environments import BACKEND, ready
from building.errors import BuildError
from building.installation import ensure
from building.layout import ROOT
from building.side_by_side import Ended, Task
from building.suites import SUITES, Suite

LEFT_OUT = "not slow and not gpu and not gui"
NO_TESTS = 5
AT_ONCE = 2
"""Processes: those in Blender mostly wait for stand-ins. More of them would be late for their time limits."""
_WANT_THE_TERMINAL = ("--pdb", "--trace", "-s", "--capture=no")

LINT = {
    "lint": ["-m", "ruff", "check"],
    "format": ["-m", "ruff", "format", "--check"],
    "types": ["-m", "mypy"],
}


@dataclass
class Outcome:
    """What came of one check or suite."""

    title: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        counts = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        return f"  {self.title:14} {counts:38} {duration(self.seconds)}"


def run(arguments: list[str]) -> int:
    """Runs everything, or with `arguments` for pytest only the tests, and prints a summary.

    Returns:
        The exit code: 1 where something failed.

    Raises:
        BuildError: an environment can't be made.
    """
    available, reasons = suites.available()
    pythons = {environment: ensure(environment) for environment in available}
    tasks = [] if arguments else [_lint(title, pythons[BACKEND]) for title in LINT]
    with tempfile.TemporaryDirectory(prefix="mvdream-tests-") as folder:
        reports: dict[Task, tuple[str, Path]] = {}
        for suite in SUITES:
            paths = suite.chosen(arguments)
            if paths and suite.environment in pythons:
                name = suite.environment.name
                report = Path(folder, f"{name}.xml")
                tasks.append(_pytest(suite, pythons[suite.environment], report, paths, arguments))
                reports[tasks[-1]] = name, report
        over = side_by_side.run(tasks, _at_once(tasks, arguments), cwd=ROOT, env=surroundings())
        outcomes = [_outcome(each, *reports.get(each.task, (each.task.title, None))) for each in over]
    return _summary(outcomes, reasons)


def _at_once(tasks: list[Task], arguments: list[str]) -> int:
    """How many tasks run at a time. A debugger wants the terminal to itself, and one task may have it."""
    if any(argument in _WANT_THE_TERMINAL for argument in arguments):
        return 1
    return min(AT_ONCE, len(tasks), os.cpu_count() or 1)


def surroundings() -> Mapping[str, str]:
    """The environment variables of tests.

    Waiting threads sleep, for spinning ones slow a busy machine down thirtyfold; without a screen, OpenGL is
    drawn by the processor; the tests in Blender learn which Python has the backend's packages.
    """
    extra = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    backend = ready(BACKEND)
    if backend is not None:
        extra["MVDREAM_TEST_BACKEND_PYTHON"] = str(backend)
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        extra["LIBGL_ALWAYS_SOFTWARE"] = "1"
    return children.environment(extra)


def _lint(title: str, python: Path) -> Task:
    return Task(title, (str(python), *LINT[title]))


def _pytest(suite: Suite, python: Path, report: Path, paths: list[str], arguments: list[str]) -> Task:
    name = suite.environment.name
    command = (
        str(python),
        "-m",
        "pytest",
        "-q",
        "-m",
        LEFT_OUT,
        f"--junitxml={report}",
        # Of its own: another suite runs at the same time, and has tests of the same names.
        "-o",
        f"cache_dir=.pytest_cache/{name}",
        *(["--color=yes"] if sys.stdout.isatty() and "NO_COLOR" not in os.environ else []),
        *(f"--ignore={path}" for path in suite.ignored),
        *(argument for argument in arguments if not suites.is_test_path(argument)),
        *paths,
    )
    return Task(f"tests in {name}", command)


def _outcome(over: Ended, title: str, report: Path | None) -> Outcome:
    """report: by pytest; None for a check that only has an exit code."""
    failed = int(over.code != 0)
    outcome = Outcome(title, 1 - failed, failed) if report is None else _read(title, report, over.code)
    outcome.seconds = over.seconds
    return outcome


def _read(title: str, report: Path, code: int) -> Outcome:
    """Counts what pytest reports. A run that broke off counts as one failure more."""
    outcome = Outcome(title)
    try:
        root = ElementTree.parse(report).getroot()
    except (OSError, ElementTree.ParseError):
        outcome.failed = 1
        say(f"The tests in {title} broke off (exit code {code}).")
        return outcome
    for suite in root.iter("testsuite"):
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        outcome.failed += failed
        outcome.skipped += skipped
        outcome.passed += int(suite.get("tests", 0)) - failed - skipped
    if code not in (0, NO_TESTS) and not outcome.failed:
        say(f"The tests in {title} ended with exit code {code} though none failed.")
        outcome.failed = 1
    return outcome


def _summary(outcomes: list[Outcome], reasons: list[str]) -> int:
    passed, failed, skipped = (
        sum(getattr(outcome, name) for outcome in outcomes) for name in ("passed", "failed", "skipped")
    )
    if not passed + failed + skipped:
        raise BuildError("No test ran: the arguments leave none.")
    say("\nSummary")
    for outcome in outcomes:
        say(outcome.line())
    for reason in reasons:
        say(f"  {reason}")
    say(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
