# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator around render_dataset: folder, caption, messages. Rendering itself has its own tests."""

import json

import pytest

bpy = pytest.importorskip("bpy")


def render(folder, **values):
    arguments = {"directory": str(folder), "sets": 1, "views": 2, "image_size": 16, "engine": "WORKBENCH"}
    return bpy.ops.mvdream.render_dataset(**(arguments | values))


def test_selected_objects_become_a_folder(addon, tmp_path):
    bpy.ops.mesh.primitive_cube_add()
    bpy.context.object.name = "Réd Mug"
    other = tmp_path / "other"
    other.mkdir()
    assert render(tmp_path) == {"FINISHED"}
    data = json.loads((tmp_path / "réd-mug" / "transforms.json").read_text())
    assert data["caption"] == "Réd Mug"
    assert len(data["frames"]) == 2
    assert other.exists()
    assert render(tmp_path, caption="a blue box") == {"FINISHED"}
    assert (tmp_path / "a-blue-box").is_dir()


def test_a_caption_is_no_path(addon, tmp_path):
    bpy.ops.mesh.primitive_cube_add()
    render(tmp_path / "data", caption="../../x")
    assert [folder.name for folder in (tmp_path / "data").iterdir()] == ["x"]


def test_nothing_selected(addon, tmp_path):
    with pytest.raises(RuntimeError, match="poll"):
        render(tmp_path)


def test_nothing_to_see(addon, tmp_path):
    bpy.ops.object.empty_add()
    with pytest.raises(RuntimeError, match="Nothing to render"):
        render(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_folder_that_is_no_dataset_is_not_replaced(addon, tmp_path):
    bpy.ops.mesh.primitive_cube_add()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mum.jpg").write_bytes(b"x")
    with pytest.raises(RuntimeError, match="holds no dataset"):
        render(tmp_path, caption="Photos")
    assert (tmp_path / "photos" / "mum.jpg").exists()
    for _ in range(2):
        assert render(tmp_path, caption="a cube") == {"FINISHED"}


def test_no_folder(addon):
    bpy.ops.mesh.primitive_cube_add()
    with pytest.raises(RuntimeError, match="No folder"):
        render("")
