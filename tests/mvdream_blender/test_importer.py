# SPDX-License-Identifier: GPL-3.0-or-later
"""A GLB becomes one object, whatever the view layer looks like."""

import json

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from small_glb import box  # noqa: E402


@pytest.fixture
def glb(tmp_path):
    file = tmp_path / "bóx.glb"
    file.write_bytes(box())
    return file


def place(file, **values):
    arguments = {"filepath": str(file), "prompt": "a red  mug", "job": "7", "location": (1, 2, 3)} | values
    # With undo, as the add-on calls it.
    return bpy.ops.mvdream.import_result("EXEC_DEFAULT", True, **arguments)


def test_name_place_size_and_selection(addon, glb):
    bpy.ops.mesh.primitive_cube_add()
    assert place(glb, settings=json.dumps({"seed": 5, "model": "small", "preset": "draft"})) == {"FINISHED"}
    made = bpy.context.object
    assert made.name == made.data.name == made.material_slots[0].material.name == "a red mug"
    assert tuple(made.location) == (1, 2, 3)
    # Upright: 1 wide, 2 deep, 3 high, with nothing left in the object's own rotation or scale.
    assert tuple(made.dimensions) == pytest.approx((1, 2, 3))
    assert tuple(made.rotation_euler) == (0, 0, 0)
    assert tuple(made.scale) == (1, 1, 1)
    assert [item.name for item in bpy.context.selected_objects] == ["a red mug"]
    assert [item.name for item in bpy.context.scene.objects] == ["Cube", "a red mug"]


def test_what_it_was_made_from_is_kept(addon, glb):
    settings = {"seed": 2**31 - 1, "model": "small", "preset": "draft"}
    place(glb, settings=json.dumps(settings))
    made = bpy.context.object
    assert made.get("stray") is None
    assert made["mvdream_job"] == "7"
    assert made["mvdream_prompt"] == "a red  mug"
    assert made["mvdream_seed"] == 2**31 - 1
    assert made["mvdream_model"] == "small"
    assert json.loads(made["mvdream_settings"]) == settings


def test_the_model_that_was_used_is_kept_where_any_was_asked_for(addon, tmp_path):
    file = tmp_path / "mesh.glb"
    file.write_bytes(box(model="mvdream-sd21"))
    place(file, settings=json.dumps({"model": "auto"}))
    assert bpy.context.object["mvdream_model"] == "mvdream-sd21"
    assert bpy.context.object.get("model") is None


def test_texture_is_in_the_file(addon, glb):
    place(glb)
    [image] = [image for image in bpy.data.images if image.name == "a red mug"]
    assert image.packed_file is not None
    assert tuple(image.pixels[:3]) == (1, 0, 0)


def test_one_undo_step(addon, glb):
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.object.name = "mine"
    bpy.ops.ed.undo_push(message="before")
    place(glb)
    assert "a red mug" in bpy.data.objects
    bpy.ops.ed.undo()
    assert sorted(bpy.data.objects.keys()) == ["mine"]
    assert bpy.data.meshes.get("a red mug") is None
    bpy.ops.ed.redo()
    assert "a red mug" in bpy.data.objects


def test_hidden_active_collection(addon, glb):
    away = bpy.data.collections.new("away")
    bpy.context.scene.collection.children.link(away)
    layer = bpy.context.view_layer
    layer.active_layer_collection = layer.layer_collection.children["away"]
    layer.active_layer_collection.collection.hide_viewport = True
    active = layer.active_layer_collection.name
    place(glb)
    assert bpy.context.object.users_collection == (bpy.context.scene.collection,)
    assert bpy.context.object.visible_get()
    assert layer.active_layer_collection.name == active


def test_active_collection_is_used(addon, glb):
    props = bpy.data.collections.new("props")
    bpy.context.scene.collection.children.link(props)
    layer = bpy.context.view_layer
    layer.active_layer_collection = layer.layer_collection.children["props"]
    place(glb)
    assert bpy.context.object.users_collection == (props,)


def test_in_edit_mode(addon, glb):
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    place(glb)
    assert bpy.context.object.name == "a red mug"
    assert bpy.context.object.mode == "OBJECT"


def test_same_prompt_twice(addon, glb):
    place(glb)
    place(glb)
    assert sorted(bpy.data.objects.keys()) == ["a red mug", "a red mug.001"]


def test_long_prompt(addon, glb):
    place(glb, prompt="ein überaus langer Satz " * 10)
    made = bpy.context.object
    assert made["mvdream_prompt"] == "ein überaus langer Satz " * 10
    assert made.name.startswith("ein überaus langer Satz")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is missing"), (b"not a mesh", "can't be read as a mesh"), (box(meshes=0), "no mesh in")],
)
def test_bad_files_are_told_and_leave_nothing(addon, tmp_path, content, message):
    file = tmp_path / "bad.glb"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RuntimeError, match=message):
        place(file)
    assert len(bpy.data.objects) == 0


def test_into_the_scene_where_it_was_asked_for(addon, glb):
    job = part("job").Job("a red mug", {}, id="7")
    other = bpy.data.scenes.new("other")
    name = part("tasks").run(
        part("importer").deliver(glb, job, part("pending").Place("other", (0, 0, 1))), 30
    )
    assert [item.name for item in other.objects] == [name] == ["a red mug"]
    assert len(bpy.data.scenes["Scene"].objects) == 0


@pytest.mark.parametrize("uid", [0, 1 << 30])
def test_a_scene_that_is_gone_is_replaced_by_the_current_and_the_user_is_told(addon, glb, uid):
    job = part("job").Job("a red mug", {}, id="7")
    place = part("pending").Place("gone", scene_uid=uid)
    name = part("tasks").run(part("importer").deliver(glb, job, place), 30)
    assert name in bpy.context.scene.objects
    assert job.note.startswith('"a red mug" was made for another file')


def test_a_scene_that_was_renamed_is_still_the_one(addon, glb):
    job = part("job").Job("a red mug", {}, id="7")
    bpy.data.scenes.new("other")
    place = part("runtime").place(bpy.context)
    bpy.context.scene.name = "renamed"
    bpy.data.scenes["other"].name = place.scene
    name = part("tasks").run(part("importer").deliver(glb, job, place), 30)
    assert name in bpy.data.scenes["renamed"].objects
    assert job.note == ""


def test_another_file_opened_meanwhile_gets_the_object_with_a_note(addon, glb, tmp_path):
    job = part("job").Job("a red mug", {}, id="7")
    place = part("runtime").place(bpy.context)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert bpy.context.scene.name == place.scene  # and yet another scene
    name = part("tasks").run(part("importer").deliver(glb, job, place), 30)
    assert name in bpy.context.scene.objects
    assert "made for another file" in job.note
