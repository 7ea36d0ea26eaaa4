# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's environment with a fake Python that makes fake environments."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_python import behave

from mvdream_blender import environment as module
from mvdream_blender.environment import Environment
from mvdream_blender.environment_marker import MARKER
from mvdream_blender.errors import MVDreamError
from mvdream_blender.install_output import InstallProgress
from mvdream_blender.processes import is_alive
from mvdream_blender.tasks import Delay, Task, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def test_complete_only_at_the_end(environment):
    seen = []
    assert not environment.ready
    run(
        environment.install(
            lambda progress: seen.append((progress.message, progress.fraction, environment.ready))
        ),
        30,
    )
    assert environment.ready
    messages = [message for message, _, _ in seen]
    assert messages[0] == "Making a Python environment"
    assert "Downloading torch-2.13-cp311.whl (190.1 MB)" in messages
    assert 0.25 in [fraction for _, fraction, _ in seen]
    assert [ready for _, _, ready in seen] == [False] * (len(seen) - 1) + [True]


@pytest.mark.parametrize(
    ("how", "message"),
    [("offline", "package index can't be reached"), ("full", "disk became full"), ("broken", "libcudart")],
)
def test_failures_are_told_and_leave_nothing_ready(environment, how, message):
    behave(environment, how)
    with pytest.raises(MVDreamError, match=message) as caught:
        run(environment.install(), 30)
    assert caught.value.fix == "install"
    assert not environment.ready


def test_interrupted_install_is_redone(environment, monkeypatch):
    behave(environment, "hang")
    task = Task(environment.install())
    while not (environment.log_file.exists() and "Progress" in environment.log_file.read_text()):
        task.tick()
    leftover = environment.folder / "half.txt"
    leftover.write_text("half")
    children = environment.folder.parent / "children"
    until(lambda: children.exists() and children.read_text().strip())
    # Closing waits for nothing, and takes pip's own children along, also those that do not want to go.
    monkeypatch.setattr(subprocess.Popen, "wait", None)
    task.close()
    monkeypatch.undo()
    monkeypatch.setattr(module, "NEEDED_BYTES", dict.fromkeys(module.NEEDED_BYTES, 1))
    until(lambda: not alive(int(children.read_text())))
    assert not environment.ready
    behave(environment, "")
    run(environment.install(), 30)
    assert environment.ready
    assert not leftover.exists()


def until(condition):
    def steps():
        while not condition():
            yield Delay(0.02)

    run(steps(), 20)


def alive(pid):
    """A zombie that nobody has asked about yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return is_alive(pid) and sys.platform != "linux"


def test_two_blenders_do_not_install_at_once(environment):
    behave(environment, "hang")
    first = Task(environment.install())
    while not (environment.log_file.exists() and "Progress" in environment.log_file.read_text()):
        first.tick()
    second = Environment(environment.folder, environment.requirements, environment.base_python)
    with pytest.raises(MVDreamError, match="Another Blender is installing"):
        run(second.install(), 30)
    assert first.tick() is False
    first.close()
    behave(environment, "")
    run(second.install(), 30)
    assert second.ready


def test_downloads_are_made_on_the_disk_that_was_measured(environment):
    run(environment.install(), 30)
    asked = (environment.folder.parent / "asked").read_text().splitlines()
    downloads = f"TMPDIR={environment.folder}.old-downloads"
    assert [downloads in line for line in asked if " pip " in line] == [True, True, True]
    assert not Path(f"{environment.folder}.old-downloads").exists()


def test_other_requirements_or_another_place_want_another_environment(environment, tmp_path):
    run(environment.install(), 30)
    environment.requirements.write_text("torch==2.14\n")
    assert not environment.ready
    environment.requirements.write_text("torch==2.13\n")
    assert environment.ready
    moved = tmp_path / "moved"
    environment.folder.rename(moved)
    assert not Environment(moved, environment.requirements, environment.base_python).ready


@pytest.mark.parametrize("content", ["", "[]", "{", json.dumps({"folder": "x"})])
def test_a_damaged_marker_is_no_marker(environment, content):
    run(environment.install(), 30)
    (environment.folder / MARKER).write_text(content)
    assert not environment.ready


def test_no_disk_space(environment, monkeypatch):
    monkeypatch.setitem(module.NEEDED_BYTES, "cpu", 10**18)
    with pytest.raises(MVDreamError, match="needs 1000000000 GB of disk space"):
        run(environment.install(), 30)


def test_no_list_of_packages(environment):
    environment.requirements.unlink()
    with pytest.raises(MVDreamError, match=r"backend\.txt is missing"):
        run(environment.install(), 30)


def test_a_python_that_does_not_start(environment, tmp_path):
    bad = Environment(environment.folder, environment.requirements, tmp_path / "none")
    with pytest.raises(MVDreamError, match="can't be started"):
        run(bad.install(), 30)


def test_pips_words():
    progress = InstallProgress("x")
    assert progress.read("Progress 1 of 4\n")
    assert progress.fraction == 0.25
    assert progress.read("  Downloading a-1.whl (1 MB)\nProgress 0 of 0\n")
    assert (progress.message, progress.fraction) == ("Downloading a-1.whl (1 MB)", None)
    assert not progress.read("  noise\n")
