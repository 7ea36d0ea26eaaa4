# SPDX-License-Identifier: GPL-3.0-or-later
"""Enabling, disabling, and what is left behind."""

import inspect
import sys

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import EXTENSION, part  # noqa: E402


def ours():
    return {name for name in dir(bpy.types) if name.startswith("MVDREAM_")}


def test_twice_on_and_off(enabled):
    registered = ours()
    assert {"MVDREAM_OT_generate", "MVDREAM_PT_generate"} <= registered
    assert bpy.context.scene.mvdream.preset == "standard"
    for _ in range(2):
        enabled.unregister()
        assert ours() == set()
        assert not hasattr(bpy.types.Scene, "mvdream")
        enabled.register()
        assert ours() == registered


def test_only_one_property_on_the_scene(enabled):
    enabled.unregister()
    before = {kind: set(dir(getattr(bpy.types, kind))) for kind in ("Scene", "WindowManager", "Object")}
    enabled.register()
    after = {kind: set(dir(getattr(bpy.types, kind))) for kind in before}
    assert {kind: after[kind] - before[kind] for kind in before} == {
        "Scene": {"mvdream"},
        "WindowManager": set(),
        "Object": set(),
    }


def test_operators_can_be_found_and_have_a_description(enabled):
    for name in ours():
        if "_OT_" in name:
            operator = getattr(bpy.ops.mvdream, name.split("_OT_")[1])
            description = operator.get_rna_type().description
            assert description, name
            assert not description.endswith("."), name


def test_prompt_survives_in_the_file(addon, tmp_path):
    bpy.context.scene.mvdream.prompt = "a réd mug"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    assert bpy.context.scene.mvdream.prompt == ""
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert bpy.context.scene.mvdream.prompt == "a réd mug"


def test_no_threads_in_the_add_on(enabled):
    for name, module in list(sys.modules.items()):
        if name.startswith(EXTENSION):
            source = inspect.getsource(module)
            assert "import threading" not in source, name
            assert "concurrent.futures" not in source, name


def test_without_an_enabled_add_on_the_api_says_so(enabled):
    enabled.unregister()
    try:
        with pytest.raises(RuntimeError, match="not enabled"):
            enabled.generate("a red mug")
    finally:
        enabled.register()


def test_preferences_belong_to_the_extension(enabled):
    preferences = part("preferences").preferences()
    assert type(preferences).bl_idname == EXTENSION
    assert preferences.backend_python == ""
    assert preferences.remote_url == ""
