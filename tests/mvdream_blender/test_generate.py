# SPDX-License-Identifier: GPL-3.0-or-later
"""From the operator and the scripting call to the object, through a real process that plays the backend."""

import os
import sys

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from running_session import runtime_steps, session  # noqa: E402
from small_glb import box  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


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
