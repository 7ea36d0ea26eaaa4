# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip in every Blender: it validates, registers, leaves nothing behind, and makes an object."""

import json
import os
import sys
import zipfile

import pytest

from building import environments, extension
from building.environments import BLENDERS, DEFAULT_BLENDER
from building.errors import BuildError
from building.layout import ROOT, manifest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")

REGISTERED = """
module = sys.modules[ADDON]
found = {
    "operators": sorted(name for name in dir(bpy.ops.mvdream)),
    "panel": any(name.startswith("MVDREAM_PT_") for name in dir(bpy.types)),
    "scene": hasattr(bpy.types.Scene, "mvdream"),
    "folder": os.path.dirname(module.__file__),
}
bpy.ops.preferences.addon_disable(module=ADDON)
found["left"] = [name for name in dir(bpy.types) if name.startswith("MVDREAM_")]
found["scene_left"] = hasattr(bpy.types.Scene, "mvdream")
finish(**found)
"""

OPERATOR = """
bpy.context.scene.cursor.location = (1.0, 2.0, 3.0)
bpy.ops.mvdream.generate(prompt="a red mug", seed=7)
made = bpy.context.view_layer.objects.active
finish(name=made.name, location=list(made.location), seed=made["mvdream_seed"], faces=len(made.data.polygons))
"""

# The operator takes a preset; fewer steps than any preset has are asked for one floor below.
WHOLE_PATH = """
runtime = sys.modules[ADDON + ".runtime"]
settings = {
    "prompt": "a red mug", "negative_prompt": "", "seed": 3, "preset": "draft",
    "steps": 30, "mesh_resolution": 48, "faces": 2000, "texture_size": 256,
}
runtime.session().generate(settings, runtime.place(bpy.context))
runtime.finish(timeout=500)
made = bpy.data.objects[runtime.session().object_name]
image = next(n.image for n in made.active_material.node_tree.nodes if n.type == "TEX_IMAGE")
finish(
    name=made.name, faces=len(made.data.polygons), size=max(made.dimensions),
    materials=len(made.material_slots),
    uv=len(made.data.uv_layers), texture=list(image.size), packed=image.packed_file is not None,
    glb=sys.modules[ADDON].mesh_file(made).stat().st_size,
    job=runtime.session().job.phase.name,
)
"""


def test_holds_the_backend_beside_the_addon(zip_file):
    with zipfile.ZipFile(zip_file) as archive:
        names = set(archive.namelist())
    assert {
        "__init__.py",
        "blender_manifest.toml",
        "backend/__main__.py",
        "requirements/backend.txt",
        "requirements/pip.txt",
        "backend/models/small/mvdream.json",
    } <= names
    assert zip_file.name == f"mvdream_blender-{manifest()['version']}.zip"


def test_every_blenders_tool_makes_the_same_zip(blender, tmp_path):
    first = extension.build(environments.ready(BLENDERS[DEFAULT_BLENDER]), tmp_path / "first")
    second = extension.build(blender.python, tmp_path / "second")
    assert first.read_bytes() == second.read_bytes()
    assert [entry.name for entry in second.parent.iterdir()] == [first.name]  # nothing is left beside it


def test_a_manifest_that_blender_refuses_is_not_packed(default_blender, tmp_path, monkeypatch):
    broken = tmp_path / "blender_manifest.toml"
    broken.write_text((ROOT / "blender_manifest.toml").read_text().replace('type = "add-on"', 'type = "hat"'))
    monkeypatch.setattr(extension, "CONTENTS", {**extension.CONTENTS, str(broken): "blender_manifest.toml"})
    monkeypatch.delitem(extension.CONTENTS, "blender_manifest.toml")
    with pytest.raises(BuildError, match="hat"):
        extension.build(default_blender.python, tmp_path / "dist")
    assert not list((tmp_path / "dist").iterdir())


def test_registers_and_leaves_nothing_behind(blender, zip_file):
    found = blender.run(zip_file, REGISTERED)
    assert "generate" in found["operators"]
    assert found["panel"]
    assert found["scene"]
    assert found["folder"].startswith(str(blender.profile))
    assert found["left"] == []
    assert not found["scene_left"]


def test_the_operator_puts_an_object_into_the_scene(blender, zip_file, fake_python):
    made = blender.run(zip_file, OPERATOR, MVDREAM_BACKEND_PYTHON=fake_python)
    assert made == {"name": "a red mug", "location": [1.0, 2.0, 3.0], "seed": 7, "faces": made["faces"]}
    assert made["faces"] > 0


def test_a_prompt_becomes_a_textured_mesh(default_blender, zip_file):
    """The whole path with the real backend, in a few steps: what it looks like is not looked at here."""
    made = default_blender.run(zip_file, WHOLE_PATH, MVDREAM_BACKEND_PYTHON=sys.executable)
    assert made["job"] == "DONE"
    assert made["name"] == "a red mug"
    assert 100 < made["faces"] <= 2000
    assert 0.2 < made["size"] < 2.5
    assert (made["materials"], made["uv"]) == (1, 1)
    assert made["texture"] == [256, 256]
    assert made["packed"]
    assert made["glb"] > 10_000
    left = [json.loads(file.read_text())["pid"] for file in default_blender.profile.rglob("service.json")]
    assert left == []  # the backend ended with Blender
