# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's GLB files as real Blender's own importer reads them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]

# An octahedron with six extents, so that no exchange of axes goes unnoticed; one vertex is (0, -1, 0).
VERTICES = [(0.7, 0, 0), (-0.5, 0, 0), (0, 0.8, 0), (0, -1, 0), (0, 0, 0.9), (0, 0, -0.3)]
FACES = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
# Each vertex has its own texel of a texture with 2 rows and 3 columns, the first row above.
UV = [(1 / 6, 0.75), (0.5, 0.75), (5 / 6, 0.75), (1 / 6, 0.25), (0.5, 0.25), (5 / 6, 0.25)]
TEXELS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (10, 100, 200), (128, 128, 128)]

WRITE = f"""
import sys
import numpy as np
from backend.mesh import TriMesh, write_glb
texture = np.array({TEXELS}, dtype=np.uint8).reshape(2, 3, 3)
mesh = TriMesh(np.array({VERTICES}), np.array({FACES}), uv=np.array({UV}), texture=texture)
write_glb(sys.argv[1], mesh, "a red mug", {{"prompt": "a red mug", "seed": 7}})
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The object that Blender makes of a file the backend wrote."""
    path = tmp_path_factory.mktemp("glb") / "mug.glb"
    # Not MVDREAM_BACKEND_PYTHON, which the tests of the add-on clear.
    python = os.environ.get("MVDREAM_TEST_BACKEND_PYTHON", sys.executable)
    wrote = subprocess.run(
        [python, "-c", WRITE, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "ModuleNotFoundError" in wrote.stderr:
        pytest.skip("MVDREAM_TEST_BACKEND_PYTHON names no Python with the backend's packages")
    assert wrote.returncode == 0, wrote.stderr
    bpy.ops.wm.read_homefile(use_empty=True)  # other tests leave a red mug, and names are unique
    bpy.ops.import_scene.gltf(filepath=str(path))
    bpy.context.view_layer.update()
    (obj,) = bpy.data.objects
    yield obj
    bpy.data.objects.remove(obj)


def test_names_and_extras(imported):
    assert imported.name == "a red mug"
    assert imported.material_slots[0].material.name == "a red mug"
    assert imported["prompt"] == "a red mug"
    assert imported["seed"] == 7


def test_every_vertex_is_where_it_was(imported):
    places = [tuple(imported.matrix_world @ vertex.co) for vertex in imported.data.vertices]
    assert any(np.allclose(place, (0, -1, 0), atol=1e-6) for place in places)
    assert np.allclose(sorted(places), sorted(VERTICES), atol=1e-6)


def test_faces_and_shading_normals_look_outward(imported):
    mesh = imported.data
    assert len(mesh.polygons) == 8
    turn = imported.matrix_world.to_3x3()
    for polygon in mesh.polygons:
        assert (turn @ polygon.normal).dot(imported.matrix_world @ polygon.center) > 0
    for corner in mesh.loops:
        assert corner.normal.dot(mesh.vertices[corner.vertex_index].co) > 0


def test_texture_is_upright_on_every_corner(imported):
    nodes = imported.material_slots[0].material.node_tree.nodes
    (image,) = [node.image for node in nodes if node.type == "TEX_IMAGE"]
    assert tuple(image.size) == (3, 2)
    assert image.colorspace_settings.name == "sRGB"
    pixels = np.array(image.pixels[:]).reshape(2, 3, 4)  # Blender's rows run upward
    mesh = imported.data
    for corner, layout in zip(mesh.loops, mesh.uv_layers.active.data, strict=True):
        place = imported.matrix_world @ mesh.vertices[corner.vertex_index].co
        index = int(np.argmin([np.linalg.norm(np.subtract(place, vertex)) for vertex in VERTICES]))
        seen = pixels[int(layout.uv[1] * 2), int(layout.uv[0] * 3), :3]
        assert np.allclose(seen * 255, TEXELS[index], atol=0.5)


def test_material_is_a_rough_dielectric_with_the_texture(imported):
    material = imported.material_slots[0].material
    assert material.use_backface_culling
    (surface,) = [node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED"]
    assert surface.inputs["Roughness"].default_value == pytest.approx(0.7)
    assert surface.inputs["Metallic"].default_value == 0
    assert surface.inputs["Base Color"].links[0].from_node.type == "TEX_IMAGE"
