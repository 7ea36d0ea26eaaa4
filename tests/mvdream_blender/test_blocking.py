# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that block a window: what only the window could bring is not waited for, and nothing is dropped."""

import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def session():
    return part("runtime").session()


def library():
    return session().library


def until(condition, *ticking):
    """Tick until something holds."""
    limit = time.monotonic() + 60
    while not condition():
        for each in ticking:
            each.tick()
        assert time.monotonic() < limit, session().error or library().errors
        time.sleep(0.01)


@pytest.fixture
def online(addon, monkeypatch, tmp_path):
    """The add-on in a Blender that may use the internet."""
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path / "models"))
    runtime = part("runtime")
    configuration = runtime._configuration
    monkeypatch.setattr(runtime, "_configuration", lambda: replace(configuration(), online=True))
    runtime.session()
    return addon


@pytest.fixture
def pumped(monkeypatch):
    """How often a timer was asked for, in a Blender that has them."""
    calls = []
    monkeypatch.setattr(part("runtime"), "_has_timers", lambda: True)
    monkeypatch.setattr(part("runtime"), "pump", lambda: calls.append(1))
    return calls


def test_a_download_that_is_just_starting_the_backend_does_not_hold_up_a_script(online):
    library().download("slow-model")
    until(lambda: session().backend._connecting, library())
    assert online.generate("a red mug", timeout=20).name == "a red mug"
    library().cancel("slow-model")
    until(lambda: not library().busy, library())


def test_a_job_that_is_just_starting_the_backend_does_not_hold_up_a_download(online):
    session().generate({"prompt": "a red mug"}, part("pending").Place())
    until(lambda: session().backend._connecting, session())
    library().download("mvdream-sd21")
    limit = time.monotonic() + 20

    def patience():
        assert time.monotonic() < limit

    part("runtime").finish_model("mvdream-sd21", patience)
    assert library().find("mvdream-sd21").installed
    until(lambda: not session().busy, session())


def test_a_download_goes_on_after_a_call_that_blocked(online, pumped):
    online.generate("a mug", timeout=60)
    assert pumped == []
    library().download("slow-model")
    online.generate("a red mug", timeout=60)
    assert library().busy
    assert pumped == [1]
    library().cancel("slow-model")
    until(lambda: not library().busy, library())


def test_a_cancellation_that_takes_long_goes_on_after_the_call(addon, pumped, monkeypatch):
    monkeypatch.setattr(part("runtime"), "CANCEL_SECONDS", 0.0)
    with pytest.raises(TimeoutError):
        addon.generate("slow one", timeout=3)
    assert session().busy
    assert pumped == [1]
    until(lambda: not session().busy, session())
    assert session().job.phase is part("job").Phase.CANCELLED


@pytest.fixture
def window(addon, monkeypatch):
    """The windows that Blender keeps without a display count as ones that somebody works in."""
    windows = list(bpy.context.window_manager.windows)
    monkeypatch.setattr(part("importer"), "_windows", lambda: windows)
    return addon


def test_a_call_that_blocks_leaves_edit_mode(window):
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.ed.undo_push(message="before")
    assert part("importer")._occupied() == "Ready: comes when you are in Object Mode"
    made = window.generate("a red mug", timeout=20)
    assert made.mode == bpy.data.objects["Cube"].mode == "OBJECT"
    bpy.ops.ed.undo()
    assert bpy.data.objects.keys() == ["Cube"]


def test_without_blocking_edit_mode_is_waited_for(window):
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    session().generate({"prompt": "a red mug"}, part("pending").Place())
    until(lambda: session().job.headline == "Ready: comes when you are in Object Mode", session())
    for _ in range(20):
        session().tick()
    assert bpy.context.mode == "EDIT_MESH"
    bpy.ops.object.mode_set(mode="OBJECT")
    until(lambda: "a red mug" in bpy.data.objects, session())


def test_a_call_that_blocks_is_refused_where_it_would_wait_for_ever(addon, monkeypatch):
    importer = part("importer")
    monkeypatch.setattr(importer, "_is_rendering", lambda: True)
    with pytest.raises(RuntimeError, match="Blender is rendering: call again"):
        addon.generate("a red mug", timeout=20)
    monkeypatch.undo()
    tool = SimpleNamespace(bl_idname="TRANSFORM_OT_translate", bl_label="Move")
    monkeypatch.setattr(importer, "_windows", lambda: [SimpleNamespace(modal_operators=[tool])])
    monkeypatch.setattr(importer, "_is_rendering", lambda: False)
    with pytest.raises(RuntimeError, match="Move is under way in the window: call again"):
        addon.generate("a red mug", timeout=20)
    assert session().job is None
