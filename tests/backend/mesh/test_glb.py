# SPDX-License-Identifier: GPL-3.0-or-later
import io
import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from backend.errors import UserError
from backend.mesh.glb import glb_bytes, write_glb
from backend.mesh.glb_reader import read_chunks, read_extras, read_glb
from backend.mesh.normals import with_normals
from backend.mesh.tri_mesh import TriMesh


@pytest.fixture
def mesh(shapes) -> TriMesh:
    cube = with_normals(shapes.cube_mesh(0.5, (0.1, 0.2, 0.3)))
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (16, 8, 3), dtype=np.uint8)
    return replace(cube, uv=rng.random((8, 2), dtype=np.float32), texture=texture)


def test_round_trip(tmp_path, mesh):
    write_glb(tmp_path / "a.glb", mesh, "a red mug", {"prompt": "a red mug", "seed": 7})
    back = read_glb(tmp_path / "a.glb")
    assert (back.vertices == mesh.vertices).all()
    assert (back.faces == mesh.faces).all()
    assert (back.normals == mesh.normals).all()
    assert back.uv == pytest.approx(mesh.uv, abs=1e-6)
    assert (back.texture == mesh.texture).all()
    assert read_extras(tmp_path / "a.glb") == {"prompt": "a red mug", "seed": 7}
    assert [path.name for path in tmp_path.iterdir()] == ["a.glb"]


def test_bytes_follow_the_specification(mesh):
    data = glb_bytes(mesh, "Tasse, grün")
    magic, version, length, json_length, json_type = struct.unpack_from("<4sIIII", data)
    assert (magic, version, length, json_type) == (b"glTF", 2, len(data), 0x4E4F534A)
    assert json_length % 4 == 0
    gltf = json.loads(data[20 : 20 + json_length])
    binary_length, binary_type = struct.unpack_from("<I4s", data, 20 + json_length)
    assert binary_type == b"BIN\0"
    assert binary_length % 4 == 0
    assert binary_length - gltf["buffers"][0]["byteLength"] in range(4)
    assert 28 + json_length + binary_length == len(data)
    for view in gltf["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= gltf["buffers"][0]["byteLength"]
    assert gltf["nodes"] == [{"name": "Tasse, grün", "mesh": 0}]


def accessor(gltf, binary, index):
    entry = gltf["accessors"][index]
    view = gltf["bufferViews"][entry["bufferView"]]
    kind = {5126: "<f4", 5125: "<u4"}[entry["componentType"]]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[entry["type"]]
    raw = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    return np.frombuffer(raw, kind).reshape(entry["count"], width), entry, view


def test_what_the_file_says(tmp_path, mesh):
    write_glb(tmp_path / "a.glb", mesh, "cube")
    gltf, binary = read_chunks(tmp_path / "a.glb")
    primitive = gltf["meshes"][0]["primitives"][0]
    positions, entry, view = accessor(gltf, binary, primitive["attributes"]["POSITION"])
    # Vertex 0 is at (-0.4, -0.3, -0.2) in Blender: Y up puts its height second and its front at +Z.
    assert positions[0] == pytest.approx((-0.4, -0.2, 0.3))
    assert entry["min"] == positions.min(axis=0).tolist()
    assert entry["max"] == positions.max(axis=0).tolist()
    assert view["target"] == 34962
    normals, _, _ = accessor(gltf, binary, primitive["attributes"]["NORMAL"])
    assert normals[0] == pytest.approx(np.array((-1, -1, 1)) / 3**0.5, abs=1e-6)
    uv, _, _ = accessor(gltf, binary, primitive["attributes"]["TEXCOORD_0"])
    assert uv[:, 0] == pytest.approx(mesh.uv[:, 0])
    assert uv[:, 1] == pytest.approx(1 - mesh.uv[:, 1])
    indices, _, view = accessor(gltf, binary, primitive["indices"])
    assert indices.ravel().tolist() == mesh.faces.ravel().tolist()
    assert view["target"] == 34963
    (material,) = gltf["materials"]
    assert material["doubleSided"] is False
    surface = material["pbrMetallicRoughness"]
    assert (surface["metallicFactor"], surface["roughnessFactor"]) == (0.0, 0.7)
    image = gltf["images"][gltf["textures"][surface["baseColorTexture"]["index"]]["source"]]
    assert image["mimeType"] == "image/png"
    view = gltf["bufferViews"][image["bufferView"]]
    picture = Image.open(io.BytesIO(binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]))
    assert (np.array(picture) == mesh.texture).all()


def test_bare_mesh_gets_normals_and_grey(tmp_path, shapes):
    write_glb(tmp_path / "a.glb", shapes.cube_mesh(), "cube")
    back = read_glb(tmp_path / "a.glb")
    assert back.uv is None
    assert back.texture is None
    assert np.linalg.norm(back.normals, axis=1) == pytest.approx(1, abs=1e-6)
    gltf, _ = read_chunks(tmp_path / "a.glb")
    assert gltf["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] == [0.8, 0.8, 0.8, 1.0]
    assert read_extras(tmp_path / "a.glb") == {}


def test_failed_write_leaves_the_old_file_and_no_scraps(tmp_path, mesh):
    (tmp_path / "a.glb").mkdir()
    (tmp_path / "a.glb" / "kept").touch()
    with pytest.raises(UserError, match=r"a\.glb.*another place"):
        write_glb(tmp_path / "a.glb", mesh, "cube")
    assert [path.name for path in tmp_path.iterdir()] == ["a.glb"]
    with pytest.raises(UserError, match="another place"):
        write_glb(tmp_path / "nowhere" / "a.glb", mesh, "cube")


def test_nonsense_is_not_written(tmp_path, mesh):
    with pytest.raises(UserError, match="no faces"):
        write_glb(tmp_path / "a.glb", TriMesh(np.zeros((0, 3)), np.zeros((0, 3))), "empty")
    mesh.vertices[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        write_glb(tmp_path / "a.glb", mesh, "cube")
    assert not list(tmp_path.iterdir())


def test_broken_files_are_named(tmp_path, mesh):
    path = tmp_path / "a.glb"
    with pytest.raises(UserError, match=r"a\.glb can't be read"):
        read_glb(path)
    whole = glb_bytes(mesh, "cube")
    for broken in (b"", b"PK\3\4" + whole[4:], whole[:-4], whole[:40]):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="not a whole GLB file"):
            read_glb(path)
    other = whole.replace(b'"POSITION"', b'"POSITIOM"')
    path.write_bytes(other)
    with pytest.raises(UserError, match="not a mesh"):
        read_glb(path)
