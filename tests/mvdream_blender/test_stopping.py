# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancelling a job and ending the backend, through a real process that plays it."""

import os
import sys

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from running_session import left_with_the_backend, runtime_steps, session, session_folder  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def test_cancel_reaches_the_backend(addon):
    runtime = part("runtime")
    session().generate({"prompt": "slow one"}, part("pending").Place())
    runtime_steps(lambda: session().job.fraction == 0.5)
    bpy.ops.mvdream.cancel()
    assert session().job.headline == "Cancelling"
    with pytest.raises(part("errors").Cancelled):
        runtime.finish(30)
    assert session().job.phase is part("job").Phase.CANCELLED
    assert session().unfinished == []
    assert left_with_the_backend() == []
    assert session().error is None


def test_a_cancelled_job_that_can_not_be_deleted_at_once_is_deleted_later(addon, monkeypatch):
    def refuse(self, identifier):
        raise part("errors").Refused("The job is running.", 409)
        yield

    delete = part("client").Client.delete
    session().generate({"prompt": "slow one"}, part("pending").Place())
    runtime_steps(lambda: session().job.fraction == 0.5)
    monkeypatch.setattr(part("client").Client, "delete", refuse)
    bpy.ops.mvdream.cancel()
    with pytest.raises(part("errors").Cancelled):
        part("runtime").finish(30)
    assert session().unfinished == []
    assert left_with_the_backend() == ["job1.json", "job1"]
    monkeypatch.setattr(part("client").Client, "delete", delete)
    addon.generate("a red mug", timeout=60)
    assert left_with_the_backend() == []


def test_timeout_cancels(addon):
    with pytest.raises(TimeoutError):
        addon.generate("slow one", timeout=2.5)
    assert not session().busy


def test_stop_ends_the_backend_of_an_earlier_blender_but_not_another_ones_job(addon, monkeypatch):
    runtime = part("runtime")
    session().generate({"prompt": "slow one"}, part("pending").Place())
    runtime_steps(lambda: session().job.fraction > 0)
    pid = part("backend_process").Announcement.read(session().backend.data).pid
    runtime.stop()
    [record] = session_folder().glob("*.json")
    record.write_text(record.read_text().replace(str(os.getpid()), str(os.getppid())))
    alive = part("locks").FileLock(record.with_name(f"owner-{os.getppid()}.lock"))
    assert alive.acquire()
    runtime.start()
    for operator in (bpy.ops.mvdream.stop_backend, bpy.ops.mvdream.restart_backend):
        with pytest.raises(RuntimeError, match='Another Blender is making "slow one"'):
            operator()
    alive.release()  # that Blender is gone, and its job left to this one
    assert bpy.ops.mvdream.stop_backend() == {"FINISHED"}
    assert not part("processes").is_alive(pid)


def test_stop_does_not_end_another_blenders_preview(addon):
    other = part("backend_process").BackendProcess(
        session().backend.source, session().backend.data, part("configuration").version()
    )
    run = part("tasks").run
    client = run(other.connect(part("runtime").Path(os.environ["MVDREAM_BACKEND_PYTHON"])), 30)
    job = run(client.submit({"prompt": "slow one"}, "views"), 30)["id"]
    for operator in (bpy.ops.mvdream.stop_backend, bpy.ops.mvdream.restart_backend):
        with pytest.raises(RuntimeError, match='Another Blender is making "slow one"'):
            operator()
    run(client.cancel(job), 30)
    assert bpy.ops.mvdream.stop_backend() == {"FINISHED"}


def test_a_cancelled_job_does_not_spoil_what_comes_next(addon):
    session().generate({"prompt": "slow one"}, part("pending").Place())
    runtime_steps(lambda: session().job.fraction > 0)
    bpy.ops.mvdream.cancel()
    with pytest.raises(part("errors").Cancelled):
        part("runtime").finish(30)
    assert bpy.ops.mvdream.stop_backend() == {"FINISHED"}


def test_cancel_while_it_waits_for_the_hand(addon, monkeypatch):
    monkeypatch.setattr(part("importer"), "_occupied", lambda: "Ready: comes when you let go")
    session().generate({"prompt": "a red mug"}, part("pending").Place())
    runtime_steps(lambda: session().job.headline == "Ready: comes when you let go")
    bpy.ops.mvdream.cancel()
    with pytest.raises(part("errors").Cancelled):
        part("runtime").finish(30)
    assert session().unfinished == []
    assert left_with_the_backend() == []
    assert len(bpy.data.objects) == 0


def test_stop_and_restart_the_backend(addon):
    addon.generate("a red mug", timeout=60)
    assert bpy.ops.mvdream.stop_backend() == {"FINISHED"}
    assert not session().backend.running
    assert part("panels").backend_state(session())[0].startswith("Ready")
    assert bpy.ops.mvdream.restart_backend() == {"FINISHED"}
    assert session().backend.running
