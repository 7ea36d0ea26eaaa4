# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands at the same time, and their output one after the other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from building import side_by_side
from building.layout import ROOT
from building.side_by_side import Task
from tests.foreground import in_foreground

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")

MEET = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
until = time.monotonic() + 20
while not other.exists() and time.monotonic() < until:
    time.sleep(0.02)
print("met" if other.exists() else "alone")
"""


def task(title: str, code: str, *arguments: object) -> Task:
    return Task(title, (sys.executable, "-c", code, *map(str, arguments)))


def write_until(marker: Path, words: str) -> str:
    """Code that ends when `marker` is there."""
    wait = f"while not pathlib.Path({str(marker)!r}).exists(): time.sleep(0.02)"
    return f"import pathlib, time\n{wait}\nprint({words!r})"


def test_two_run_at_the_same_time(tmp_path, capfd):
    a, b = tmp_path / "a", tmp_path / "b"
    side_by_side.run([task("one", MEET, a, b), task("two", MEET, b, a)], 2)
    assert capfd.readouterr().out.count("met\n") == 2


def test_no_more_than_allowed(tmp_path, capfd):
    lines = "import pathlib, sys, time\nmine = pathlib.Path(sys.argv[1])\nmine.touch()\ntime.sleep(0.3)\n"
    count = lines + "print('beside', len(list(mine.parent.iterdir())))\nmine.unlink()"
    side_by_side.run([task(f"{n}", count, tmp_path / f"{n}") for n in range(4)], 2)
    found = capfd.readouterr().out
    assert found.count("beside") == 4
    assert "beside 3" not in found


def test_output_is_whole_and_in_order_though_the_second_ends_first(tmp_path, capfd):
    marker = tmp_path / "second"
    words = "import pathlib, sys\nprint('b1')\nprint('b2', file=sys.stderr)\n"
    second = f"{words}pathlib.Path({str(marker)!r}).touch()"
    side_by_side.run([task("first", write_until(marker, "a1")), task("second", second)], 2)
    lines = [line for line in capfd.readouterr().out.splitlines() if line and "ended" not in line]
    assert lines[:2] == ["first: begins", "second: begins"]
    assert lines[2:5] == ["== first", "a1", "== second"]
    assert sorted(lines[5:]) == ["b1", "b2"]


def test_a_failure_stops_no_other_and_is_told(capfd):
    over = side_by_side.run([task("bad", "raise SystemExit(3)"), task("good", "print('fine')")], 2)
    assert [(each.task.title, each.code) for each in over] == [("bad", 3), ("good", 0)]
    found = capfd.readouterr().out
    assert "fine\n" in found
    assert any(
        line.startswith("bad: ended after") and line.endswith("exit code 3") for line in found.splitlines()
    )


def test_alone_they_have_the_terminal(capfd):
    over = side_by_side.run([task("one", "print('hello')"), task("two", "raise SystemExit(1)")], 1)
    assert [each.code for each in over] == [0, 1]
    assert "begins" not in capfd.readouterr().out


def test_progress_is_the_last_percentage(tmp_path):
    output = tmp_path / "x"
    with side_by_side.ExitStack() as stack:
        started = side_by_side._Started(
            task("suite", "print('..... [  9%]\\n..s.. [ 43%]\\n..')"), output, stack, {}
        )
    assert started.progress() == "suite 43%"


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_being_interrupted_ends_all_children_and_shows_what_they_wrote(tmp_path, number):
    say = "import os, sys, time\nprint('pid', os.getpid(), flush=True)\n"
    code = f"{say}open(sys.argv[1], 'w').close()\ntime.sleep(60)"
    program = f"""
import sys
from building import children, side_by_side
from building.side_by_side import Task
children.stop_on_signals()
side_by_side.run([Task(n, (sys.executable, "-c", {code!r}, n)) for n in ("one", "two")], 2)
"""
    process = in_foreground(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 30
    while not all((tmp_path / name).exists() for name in ("one", "two")) and time.monotonic() < until:
        time.sleep(0.05)
    # A terminal's Ctrl-C reaches the children too.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    out = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    assert "== one (broken off)" in out
    assert "== two (broken off)" in out
    pids = [int(line.split()[1]) for line in out.splitlines() if line.startswith("pid")]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
