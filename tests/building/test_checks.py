# SPDX-License-Identifier: GPL-3.0-or-later
"""Adding up what tests and lint report."""

import os
import sys
from pathlib import Path

import pytest

from building import checks
from building.environments import BACKEND, BLENDERS
from building.errors import BuildError
from building.side_by_side import Task
from building.suites import Suite


class TestChecks:
    def read(self, tmp_path, code, **counts):
        report = tmp_path / "report.xml"
        values = " ".join(f'{name}="{value}"' for name, value in counts.items())
        report.write_text(f"<testsuites><testsuite {values}/></testsuites>")
        outcome = checks._read("x", report, code)
        return outcome.passed, outcome.failed, outcome.skipped

    def test_counts(self, tmp_path):
        assert self.read(tmp_path, 1, tests=10, failures=2, errors=1, skipped=3) == (4, 3, 3)
        assert self.read(tmp_path, 0, tests=7, failures=0, errors=0, skipped=1) == (6, 0, 1)
        assert self.read(tmp_path, checks.NO_TESTS, tests=0, failures=0, errors=0, skipped=0) == (0, 0, 0)

    def test_a_run_that_broke_off_failed(self, tmp_path, capsys):
        assert self.read(tmp_path, -11, tests=7, failures=0, errors=0, skipped=0) == (7, 1, 0)
        assert checks._read("x", tmp_path / "none.xml", -11).failed == 1
        assert "broke off" in capsys.readouterr().out

    def test_the_summary_adds_up(self, capsys):
        outcomes = [checks.Outcome("a", 3, 0, 1, 2.0), checks.Outcome("b", 4, 2, 0, 1.0)]
        assert checks._summary(outcomes, []) == 1
        assert capsys.readouterr().out.splitlines()[-1] == "7 passed, 2 failed, 1 skipped"
        assert checks._summary(outcomes[:1], []) == 0
        with pytest.raises(BuildError, match="No test ran"):
            checks._summary([checks.Outcome("a")], [])

    def test_waiting_threads_sleep_unless_the_user_says_otherwise(self, monkeypatch):
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        assert checks.surroundings()["OMP_WAIT_POLICY"] == "PASSIVE"
        monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
        assert checks.surroundings()["OMP_WAIT_POLICY"] == "ACTIVE"

    def test_blender_learns_the_backends_python_where_there_is_one(self, monkeypatch):
        monkeypatch.delenv("MVDREAM_TEST_BACKEND_PYTHON", raising=False)
        monkeypatch.setattr(checks, "ready", lambda environment: Path("/x", environment.name))
        assert checks.surroundings()["MVDREAM_TEST_BACKEND_PYTHON"] == str(Path("/x/backend"))
        monkeypatch.setattr(checks, "ready", lambda _environment: None)
        assert "MVDREAM_TEST_BACKEND_PYTHON" not in checks.surroundings()


MEET = """
import pathlib, time

def test_the_other_suite_runs_now():
    here = pathlib.Path(__file__).parent
    (here / "here").touch()
    other = here.parent / {other!r} / "here"
    until = time.monotonic() + 20
    while not other.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert other.exists()

def test_that_fails():
    assert {passes}
"""


class TestRun:
    @pytest.fixture
    def two_suites(self, tmp_path, monkeypatch):
        """Two suites that only pass together, run by this Python; the first has a failure."""
        environments = [BACKEND, BLENDERS["5.0"]]
        made = []
        for mine, other, environment in zip("ab", "ba", environments, strict=True):
            folder = tmp_path / mine
            folder.mkdir()
            (folder / f"test_{mine}.py").write_text(MEET.format(other=other, passes=mine == "b"))
            made.append(Suite(environment, (str(folder),)))
        monkeypatch.setattr(checks, "SUITES", made)
        monkeypatch.setattr(checks, "LINT", {})
        monkeypatch.setattr(checks.suites, "available", lambda: (environments, []))
        monkeypatch.setattr(checks, "ensure", lambda _environment: Path(sys.executable))
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        return made

    def test_suites_run_side_by_side_and_all_is_reported(self, two_suites, capfd):
        assert checks.run([]) == 1
        out = capfd.readouterr().out
        assert out.splitlines()[-1] == "3 passed, 1 failed, 0 skipped"
        backend, blender = out.index("== tests in backend"), out.index("== tests in blender-5.0")
        assert backend < out.index("FAILED") < blender < out.index("Summary")

    def test_options_reach_every_suite(self, two_suites, capfd):
        assert checks.run(["-k", "runs_now"]) == 0
        assert capfd.readouterr().out.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"

    def test_a_debugger_and_a_single_task_have_the_terminal(self, monkeypatch):
        tasks = [Task(name, ()) for name in "abc"]
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
        assert checks._at_once(tasks, ["-x"]) == 2
        assert checks._at_once(tasks, ["-x", "--pdb"]) == 1
        assert checks._at_once(tasks[:1], []) == 1
        monkeypatch.setattr(os, "cpu_count", lambda: None)
        assert checks._at_once(tasks, []) == 1
