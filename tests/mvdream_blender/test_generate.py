# SPDX-License-Identifier: GPL-3.0-or-later
"""From the operator and the scripting call to the object, through a real process that plays the backend."""

import os
import sys

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from small_glb import box  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def session():
    return part("runtime").session()


def test_operator_blocks_until_the_object_is_there(addon, capfd):
    bpy.context.scene.cursor.location = (4, 5, 6)
    assert bpy.ops.mvdream.generate(prompt="a red mug", seed=3, preset="draft") == {"FINISHED"}
    made = bpy.data.objects["a red mug"]
    assert tuple(made.location) == (4, 5, 6)
    assert made["mvdream_seed"] == 3
    assert bpy.context.object == made
    assert "25 %  Shaping the object, step 1 of 4" in capfd.readouterr().err


def test_scripting_call(addon):
    seen = []
    made = addon.generate(
        "a blue chair", seed=1, timeout=60, progress=lambda job: seen.append((job.fraction, job.headline))
    )
    assert made.name == "a blue chair"
    assert [fraction for fraction, _ in seen] == sorted(fraction for fraction, _ in seen)
    assert seen[0] == (0.0, "Starting the backend")
    assert seen[-1] == (1.0, "Done")
    assert addon.mesh_file(made).read_bytes() == box(model="small")


def test_one_undo_step(addon):
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="before")
    addon.generate("a red mug", timeout=60)
    bpy.ops.ed.undo()
    assert bpy.data.objects.keys() == ["Cube"]
    bpy.ops.ed.redo()
    assert sorted(bpy.data.objects.keys()) == ["Cube", "a red mug"]


def test_mesh_file_of_something_else(addon):
    bpy.ops.mesh.primitive_cube_add()
    assert addon.mesh_file(bpy.context.object) is None


def test_backend_is_started_once(addon):
    addon.generate("one", timeout=60)
    pid = part("backend_process").Announcement.read(session().backend.data).pid
    addon.generate("two", timeout=60)
    assert part("backend_process").Announcement.read(session().backend.data).pid == pid


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("", "The prompt is empty: say what to make"), ("mistake", "The colour is wrong")],
)
def test_the_backends_sentences_reach_the_script(addon, prompt, message):
    with pytest.raises(RuntimeError, match=message):
        bpy.ops.mvdream.generate(prompt=prompt)
    with pytest.raises(RuntimeError, match=f"^{message}"):
        addon.generate(prompt)
    assert len(bpy.data.objects) == 0
    assert not session().busy
    assert session().unfinished == []
    assert left_with_the_backend() == []


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


def test_a_second_generate_is_refused(addon):
    session().generate({"prompt": "slow one"}, part("pending").Place())
    with pytest.raises(RuntimeError, match='still making "slow one"'):
        bpy.ops.mvdream.generate(prompt="a red mug")
    assert session().job.prompt == "slow one"
    bpy.ops.mvdream.cancel()
    assert not session().busy


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


def left_with_the_backend():
    """Jobs that the backend keeps, and those it has still to delete."""
    folder = session().backend.data
    return [file.name for file in folder.glob("job*.json")] + session()._pending.discarded()


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


def test_what_is_under_way_with_the_backend_is_not_pushed_aside(addon):
    try:
        for doing in ("connect", "stop", "discard"):
            session().doing = doing
            with pytest.raises(RuntimeError, match="started or stopped"):
                bpy.ops.mvdream.generate(prompt="a red mug")
    finally:
        session().doing = ""


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


def session_folder():
    return part("runtime")._user_folder() / "pending"


def test_not_installed(addon, monkeypatch):
    monkeypatch.delenv("MVDREAM_BACKEND_PYTHON")
    with pytest.raises(RuntimeError, match="not installed yet"):
        bpy.ops.mvdream.generate(prompt="a red mug")
    assert session().error.fix == "install"
    with pytest.raises(RuntimeError, match="Allow Online Access"):
        bpy.ops.mvdream.install_backend()
    with pytest.raises(part("errors").StaysOffline):
        part("upkeep").install(session())


def test_named_python_that_does_not_exist(addon, monkeypatch, tmp_path):
    monkeypatch.setenv("MVDREAM_BACKEND_PYTHON", str(tmp_path / "none"))
    with pytest.raises(RuntimeError, match="There is no Python at"):
        bpy.ops.mvdream.generate(prompt="a red mug")


def test_a_named_python_without_packages_is_told_by_its_preference(addon, monkeypatch, tmp_path):
    python = tmp_path / "bare python"
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'fastapi'\" >&2; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setenv("MVDREAM_BACKEND_PYTHON", str(python))
    with pytest.raises(RuntimeError, match="preference Python") as caught:
        bpy.ops.mvdream.generate(prompt="a red mug")
    assert str(python) in str(caught.value)
    assert "Install the backend again" not in str(caught.value)
    assert session().error.fix == "preferences"


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        ("cancel", "nothing to cancel"),
        ("resume", "no unfinished job"),
        ("forget", "no unfinished job"),
        ("use_seed", "no previewed views"),
    ],
)
def test_an_operator_with_nothing_to_do_says_so(addon, operator, reason):
    with pytest.raises(RuntimeError, match=reason):
        getattr(bpy.ops.mvdream, operator)()


def test_an_operator_says_that_something_is_under_way(addon):
    session().generate({"prompt": "a endless mug"}, part("runtime").place(bpy.context))
    for operator in ("install_backend", "stop_backend", "restart_backend", "resume", "forget"):
        with pytest.raises(RuntimeError, match="MVDream is busy"):
            getattr(bpy.ops.mvdream, operator)()
    session().cancel()


def test_calls_that_wait_tell_the_console_unless_the_script_listens(addon, capfd):
    addon.generate("a blue chair", timeout=60)
    assert "Shaping the object, step" in capfd.readouterr().err
    addon.preview_views("a blue chair", timeout=60)
    assert "Sampling the views, step" in capfd.readouterr().err
    addon.preview_views("a blue chair", timeout=60, progress=lambda job: None)
    addon.generate("a blue chair", timeout=60, progress=lambda job: None)
    assert "step" not in capfd.readouterr().err


def test_an_installation_tells_the_console(addon, monkeypatch, capfd):
    environment, progress = part("environment"), part("install_output").InstallProgress
    delay = part("tasks").Delay

    def steps(self, report):
        for message, fraction in (("Collecting torch", None), ("Downloading torch", 0.25)):
            report(progress(message, fraction))
            yield delay(0.05)

    monkeypatch.setattr(environment.Environment, "install", steps)
    configuration = part("configuration").Configuration
    monkeypatch.setattr(
        part("runtime"), "_configuration", lambda: configuration(part("runtime")._user_folder(), online=True)
    )
    part("runtime").stop()
    part("runtime").start()
    assert bpy.ops.mvdream.install_backend() == {"FINISHED"}
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if "torch" in line] == ["Collecting torch", "Downloading torch, 25 %"]


def test_remote_backend(addon, tmp_path):
    from fake_backend import FakeBackend

    server = FakeBackend(tmp_path / "far", "far token").start()
    preferences = part("preferences").preferences()
    preferences.remote_url, preferences.remote_token = server.url, "far token"
    try:
        assert addon.generate("a red mug", timeout=60).name == "a red mug"
        assert session().backend.running is False
        preferences.remote_token = "wrong"
        with pytest.raises(RuntimeError, match="does not accept the token"):
            addon.generate("a red mug", timeout=60)
    finally:
        preferences.remote_url = preferences.remote_token = ""
        server.stop()


def test_nothing_of_blenders_data_is_kept(addon):
    addon.generate("a red mug", timeout=60)
    seen, found = set(), []

    def walk(value, path, depth=0):
        if id(value) in seen or depth > 6:
            return
        seen.add(id(value))
        if isinstance(value, bpy.types.bpy_struct):
            found.append(path)
        elif isinstance(value, dict):
            for key, entry in value.items():
                walk(entry, f"{path}[{key!r}]", depth + 1)
        elif isinstance(value, (list, tuple, set)):
            for entry in value:
                walk(entry, f"{path}[]", depth + 1)
        elif hasattr(value, "__dict__") and not isinstance(value, (type, type(os))):
            walk(vars(value), path, depth + 1)

    walk(session(), "session")
    assert found == []


def test_the_timer_does_the_same(addon, monkeypatch):
    """What a window does, without one: the timer's function, called by hand."""
    runtime = part("runtime")
    session().generate({"prompt": "a red mug"}, part("pending").Place())
    for _ in range(2000):
        if runtime._tick() is None:
            break
        part("runtime").time.sleep(0.01)
    assert session().error is None
    assert "a red mug" in bpy.data.objects


def test_a_picture_that_can_not_be_shown_does_not_stop_the_job(addon, monkeypatch):
    shown = []

    def broken(*pictures):
        shown.extend(pictures)
        raise RuntimeError("no picture")

    monkeypatch.setattr(part("pictures"), "show", broken)
    session().generate({"prompt": "a red mug"}, part("pending").Place())
    for _ in range(2000):
        if part("runtime")._tick() is None:
            break
        part("runtime").time.sleep(0.01)
    assert any(shown)
    assert "a red mug" in bpy.data.objects


def test_a_hand_on_the_scene_is_waited_for(addon, monkeypatch):
    importer = part("importer")
    occupied = ["Ready: comes when you let go"]
    monkeypatch.setattr(importer, "_occupied", lambda: occupied[0])
    session().generate({"prompt": "a red mug"}, part("pending").Place())
    runtime_steps(lambda: session().job.headline == "Ready: comes when you let go")
    for _ in range(20):
        session().tick()
    assert len(bpy.data.objects) == 0
    occupied[0] = ""
    part("runtime").finish(30)
    assert "a red mug" in bpy.data.objects


def runtime_steps(condition):
    """Drive the session until something holds."""
    time = part("runtime").time
    limit = time.monotonic() + 60
    while not condition():
        assert session().tick(), session().error
        assert time.monotonic() < limit
        time.sleep(0.01)


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
