# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel's choice of a model: a list that changes under a value that does not."""

import gc
from dataclasses import replace

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402


@pytest.fixture
def library(addon, monkeypatch, tmp_path):
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path))
    found = part("runtime").session().library
    found.models = part("models").KNOWN
    return found


def inputs():
    return bpy.context.scene.mvdream


def shown():
    items = part("model_choice").items(inputs(), bpy.context)
    assert len({item[4] for item in items}) == len(items)
    return {item[0]: item[1] for item in items}


def test_the_choices(library):
    assert inputs().model_choice == inputs().model == "auto"
    assert shown() == {
        "auto": "Automatic",
        "small": "Small (64 pixels)",
        "mvdream-sd21": "MVDream (Stable Diffusion 2.1) (not downloaded)",
        "mvdream-sd15": "MVDream (Stable Diffusion 1.5) (not downloaded)",
    }
    library.models = tuple(replace(model, installed=True) for model in library.models)
    assert shown()["mvdream-sd15"] == "MVDream (Stable Diffusion 1.5)"


def test_the_choice_stays_when_the_list_changes(library):
    model = part("models").Model("own", "Öwn mödel", installed=True)
    known = library.models
    library.models = (*known, model)
    inputs().model_choice = "own"
    assert inputs().model == "own"
    library.models = (model, *known)
    assert inputs().model_choice == "own"
    library.models = known
    assert inputs().model_choice == "own"
    assert shown()["own"] == "own (not here)"
    inputs().model_choice = "small"
    assert inputs().model == "small"
    assert "own" not in shown()
    inputs().model = ""
    assert inputs().model_choice == "auto"
    assert "" not in shown()


def test_a_click_means_what_was_drawn(library):
    """Between the menu and the click into it the backend may have told of another list."""
    own = [part("models").Model(f"drawn-{letter}", letter, installed=True) for letter in "ab"]
    library.models = tuple(own)
    drawn = {item[0]: item[4] for item in part("model_choice").items(inputs(), bpy.context)}
    library.models = tuple(own[1:])
    part("model_choice").write(inputs(), drawn["drawn-b"])
    assert inputs().model == "drawn-b"
    library.models = tuple(own)
    assert {item[0]: item[4] for item in part("model_choice").items(inputs(), bpy.context)} == drawn


def test_a_broken_model_says_so(library):
    library.models = (replace(library.models[1], broken="The file is broken."),)
    assert shown()["mvdream-sd21"] == "MVDream (Stable Diffusion 2.1) (broken)"


def test_the_choice_is_kept_in_the_file_by_name(library, tmp_path):
    inputs().model = "mvdream-sd15"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    library.models = library.models[:2]
    bpy.ops.wm.read_homefile(use_empty=True)
    assert inputs().model_choice == "auto"
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert inputs().model_choice == inputs().model == "mvdream-sd15"


def test_blenders_texts_outlive_the_list(library):
    items = part("model_choice").items
    for number in range(50):
        library.models = (part("models").Model(f"own-{number}", f"Öwn {number}", installed=True),)
        first = items(inputs(), bpy.context)
        gc.collect()
        assert items(inputs(), bpy.context) is first
        inputs().model_choice = f"own-{number}"
        assert inputs().model_choice == f"own-{number}"


class Pressed:
    """An operator as a button invokes it, which needs a window: nothing is set by the caller but `given`."""

    def __init__(self, **given):
        self.properties = type("Given", (), {"is_property_set": lambda _, name: name in given})()
        for name, value in given.items():
            setattr(self, name, value)

    def execute(self, _context):
        return {"FINISHED"}


@pytest.mark.parametrize("operator", ["generate.MVDREAM_OT_generate", "views.MVDREAM_OT_preview_views"])
def test_buttons_send_the_choice(library, operator):
    module, name = operator.split(".")
    invoke = getattr(part(f"operators.{module}"), name).invoke
    inputs().model_choice = "mvdream-sd21"
    pressed = Pressed()
    assert invoke(pressed, bpy.context, None) == {"FINISHED"}
    assert pressed.model == "mvdream-sd21"
    said = Pressed(model="small")
    invoke(said, bpy.context, None)
    assert said.model == "small"


def test_without_a_session(library):
    runtime = part("runtime")
    runtime.stop()
    try:
        assert list(shown()) == ["auto", "small", "mvdream-sd21", "mvdream-sd15"]
    finally:
        runtime.start()
