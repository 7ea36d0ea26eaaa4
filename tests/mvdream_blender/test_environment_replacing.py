# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing where an environment is already: it stays until the new one is complete."""

import sys
from pathlib import Path

import pytest
from fake_python import behave

from mvdream_blender import environment as module
from mvdream_blender import replacing
from mvdream_blender.environment import Environment
from mvdream_blender.errors import MVDreamError
from mvdream_blender.locks import FileLock
from mvdream_blender.tasks import Task, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def test_the_old_environment_is_removed_by_a_child_process(environment, monkeypatch):
    run(environment.install(), 30)
    (environment.folder / "many files").mkdir()
    left_over = environment.folder.with_name("env.old-1234")
    left_over.mkdir()
    monkeypatch.setattr(module.shutil, "rmtree", None)
    seen = []
    run(environment.install(lambda progress: seen.append(progress.message)), 30)
    assert (seen[0], seen[-2:]) == (
        "Removing the old environment",
        ["Removing the old environment", "Installed"],
    )
    assert environment.ready
    assert not (environment.folder / "many files").exists()
    assert list(environment.folder.parent.glob("env.old-*")) == []


def test_an_environment_in_use_is_told(environment, monkeypatch):
    run(environment.install(), 30)
    monkeypatch.setattr(replacing, "CLEAR_SECONDS", 0.1)

    def refuse(self, target):
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(MVDreamError, match="can't be replaced: Access is denied"):
        run(environment.install(), 30)
    assert environment.ready


@pytest.mark.parametrize("how", ["offline", "full", "broken"])
def test_a_failed_reinstallation_leaves_what_was_there(environment, how):
    run(environment.install(), 30)
    mine = environment.folder / "mine"
    mine.touch()
    behave(environment, how)
    seen = []
    with pytest.raises(MVDreamError):
        run(environment.install(lambda progress: seen.append(environment.ready)), 30)
    assert set(seen) == {False}
    assert environment.ready
    assert mine.exists()
    behave(environment, "")
    run(environment.install(), 30)
    assert environment.ready
    assert not mine.exists()
    assert sorted(file.name for file in environment.folder.parent.glob("env*")) == ["env", "env.lock"]


def test_a_cancelled_reinstallation_leaves_what_was_there(environment):
    run(environment.install(), 30)
    behave(environment, "hang")
    task = Task(environment.install())
    while not ((children := environment.folder.parent / "children").exists() and children.read_text()):
        task.tick()
    assert not environment.ready
    task.close()
    assert environment.ready


def test_a_python_that_vanished_leaves_what_was_there(environment, tmp_path):
    run(environment.install(), 30)
    bad = Environment(environment.folder, environment.requirements, tmp_path / "none")
    with pytest.raises(MVDreamError, match="can't be started"):
        run(bad.install(), 30)
    assert environment.ready


def test_an_installation_that_died_with_its_blender_is_undone(environment):
    run(environment.install(), 30)
    environment.folder.rename(environment.folder.with_name("env.kept"))
    (environment.folder / "bin").mkdir(parents=True)
    holder = FileLock(environment.folder.with_name("env.lock"))
    assert holder.acquire()
    environment.recover()  # another Blender is at it
    assert not environment.ready
    holder.release()
    environment.recover()
    assert environment.ready
    assert not environment.folder.with_name("env.kept").exists()


def test_what_was_kept_for_other_requirements_is_not_brought_back(environment):
    run(environment.install(), 30)
    kept = environment.folder.with_name("env.kept")
    environment.folder.rename(kept)
    environment.requirements.write_text("torch==2.14\n")
    environment.recover()
    assert not environment.folder.exists()
    run(environment.install(), 30)
    assert environment.ready
    assert not kept.exists()
