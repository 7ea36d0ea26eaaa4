# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that a crash, another Blender or another backend came between: nothing of them is lost."""

import os
import sys

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from running_session import runtime_steps, session  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def test_a_failed_job_can_be_resumed(addon):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="The disk is full: make room"):
            bpy.ops.mvdream.generate(prompt="fail once")
    [newest, older] = session().unfinished
    assert (newest.prompt, older.prompt) == ("fail once", "fail once")
    assert bpy.ops.mvdream.resume(job=newest.id) == {"FINISHED"}
    assert bpy.data.objects.keys() == ["fail once"]
    assert [pending.id for pending in session().unfinished] == [older.id]
    # A restart is no wish to go on with it.
    assert bpy.ops.mvdream.restart_backend() == {"FINISHED"}
    assert [pending.id for pending in session().unfinished] == [older.id]
    assert len(bpy.data.objects) == 1


def test_the_backend_forgets_what_stands_in_the_scene(addon):
    made = addon.generate("a red mug", timeout=60)
    data = session().backend.data
    assert [file.name for file in data.glob("job*")] == [f"{made['mvdream_job']}.deleted"]
    assert addon.mesh_file(made).is_file()


def test_killed_in_the_middle_then_restarted(addon):
    with pytest.raises(RuntimeError, match="The backend ended while it was working") as caught:
        bpy.ops.mvdream.generate(prompt="die once")
    assert "killed on purpose" in str(caught.value)
    assert session().error.fix == "restart"
    assert part("panels").backend_state(session())[2] == "mvdream.restart_backend"
    assert [pending.prompt for pending in session().unfinished] == ["die once"]
    assert bpy.ops.mvdream.restart_backend() == {"FINISHED"}
    assert "die once" in bpy.context.scene.objects
    assert session().unfinished == []


def test_a_job_is_picked_up_by_the_next_blender(addon):
    runtime = part("runtime")
    session().generate({"prompt": "a red mug"}, part("pending").Place(location=(0, 0, 2)))
    runtime_steps(lambda: session().job.fraction > 0)
    # Blender goes while the job runs: the backend is left to it.
    pid = part("backend_process").Announcement.read(session().backend.data).pid
    runtime.stop()
    os.kill(pid, 0)
    runtime.start()
    assert [pending.prompt for pending in session().unfinished] == ["a red mug"]
    assert bpy.ops.mvdream.resume() == {"FINISHED"}
    assert tuple(bpy.data.objects["a red mug"].location) == (0, 0, 2)
    assert part("backend_process").Announcement.read(session().backend.data).pid == pid


def test_a_discarded_job_never_runs_again(addon):
    with pytest.raises(RuntimeError):
        bpy.ops.mvdream.generate(prompt="die once")
    lost = session().unfinished[0].id
    assert bpy.ops.mvdream.forget(job=lost) == {"FINISHED"}
    assert session().unfinished == []
    data = session().backend.data
    assert (data / f"{lost}.json").exists()
    assert not session().backend.running  # nothing is started for it
    # The next Blender's backend, too, deletes it before anything else.
    part("runtime").stop()
    part("runtime").start()
    addon.generate("a red mug", timeout=60)
    assert (data / f"{lost}.discarded").exists()
    assert session()._pending.discarded() == []


def test_a_job_that_runs_is_cancelled_and_deleted_when_it_is_discarded(addon):
    runtime = part("runtime")
    session().generate({"prompt": "slow one"}, part("pending").Place())
    runtime_steps(lambda: session().job.fraction > 0)
    job = session().job.id
    runtime.stop()  # Blender goes, the backend works on
    runtime.start()
    assert part("panels").backend_state(session())[:3:2] == (
        "Running, started by another Blender",
        "mvdream.stop_backend",
    )
    assert bpy.ops.mvdream.forget() == {"FINISHED"}
    assert (session().backend.data / f"{job}.deleted").exists()
    assert session()._pending.discarded() == []
    assert session().unfinished == []


def test_a_job_of_another_backend_is_not_lost(addon):
    Place = part("pending").Place
    session()._pending.add("job1", "far mug", Place(), "https://far.example")
    session().refresh()
    with pytest.raises(RuntimeError, match=r'"far mug" is at https://far\.example'):
        bpy.ops.mvdream.resume()
    session().refresh()
    assert [pending.prompt for pending in session().unfinished] == ["far mug"]


def test_a_job_that_the_backend_has_lost_is_told(addon):
    session()._pending.add("job9", "old mug", part("pending").Place())
    session().refresh()
    with pytest.raises(RuntimeError, match='no longer has the job "old mug": generate it again'):
        bpy.ops.mvdream.resume()
    assert session().unfinished == []


def test_a_record_that_can_not_be_written_does_not_stop_the_job(addon, monkeypatch):
    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(part("pending").PendingJobs, "add", full)
    assert addon.generate("a red mug", timeout=60).name == "a red mug"
