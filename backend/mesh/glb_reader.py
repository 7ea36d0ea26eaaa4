# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads back the GLB files that `backend.mesh.glb` writes; not a general glTF reader."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.errors import UserError
from backend.mesh.glb import BINARY_CHUNK, FLOAT, JSON_CHUNK, MAGIC, UNSIGNED_INT, VERSION, from_gltf_axes
from backend.mesh.tri_mesh import TriMesh

WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}
TYPES = {FLOAT: "<f4", UNSIGNED_INT: "<u4"}


def read_glb(path: Path | str) -> TriMesh:
    """The mesh of a GLB written by `write_glb`, in Blender's axes.

    Raises UserError when the file is missing, cut off, or not one of ours.
    """
    gltf, binary = read_chunks(path)
    try:
        (primitive,) = gltf["meshes"][0]["primitives"]
        arrays = {key: _array(gltf, binary, index) for key, index in primitive["attributes"].items()}
        uv = arrays.get("TEXCOORD_0")
        return TriMesh(
            vertices=from_gltf_axes(arrays["POSITION"]),
            faces=_array(gltf, binary, primitive["indices"]).reshape(-1, 3),
            uv=None if uv is None else uv * (1, -1) + (0, 1),
            normals=from_gltf_axes(arrays["NORMAL"]),
            texture=_texture(gltf, binary),
        )
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{path} is not a mesh that MVDream wrote ({error}). Generate it again.") from error


def read_extras(path: Path | str) -> dict[str, Any]:
    """The `extras` given to `write_glb`. Raises UserError as `read_glb` does."""
    gltf, _ = read_chunks(path)
    return dict(gltf["nodes"][0].get("extras", {}))


def read_chunks(path: Path | str) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary part of a GLB file. Raises UserError when the container is broken."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}.") from error
    try:
        magic, version, length = struct.unpack_from("<III", data)
        if (magic, version, length) != (MAGIC, VERSION, len(data)):
            raise ValueError("header and length don't fit")
        text, rest = _chunk(data, 12, JSON_CHUNK)
        binary, _ = _chunk(data, rest, BINARY_CHUNK)
        return json.loads(text), binary
    except (struct.error, ValueError) as error:
        raise UserError(f"{path} is not a whole GLB file ({error}). Generate it again.") from error


def _chunk(data: bytes, start: int, kind: int) -> tuple[bytes, int]:
    length, found = struct.unpack_from("<II", data, start)
    end = start + 8 + length
    if found != kind or end > len(data):
        raise ValueError(f"no chunk {kind:#x} at byte {start}")
    return data[start + 8 : end], end


def _view(gltf: dict[str, Any], binary: bytes, index: int) -> bytes:
    view = gltf["bufferViews"][index]
    return binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]


def _array(gltf: dict[str, Any], binary: bytes, index: int) -> NDArray[Any]:
    accessor = gltf["accessors"][index]
    flat = np.frombuffer(_view(gltf, binary, accessor["bufferView"]), dtype=TYPES[accessor["componentType"]])
    return flat.reshape(accessor["count"], WIDTHS[accessor["type"]])


def _texture(gltf: dict[str, Any], binary: bytes) -> NDArray[np.uint8] | None:
    if "images" not in gltf:
        return None
    with Image.open(io.BytesIO(_view(gltf, binary, gltf["images"][0]["bufferView"]))) as image:
        return np.array(image.convert("RGB"))
