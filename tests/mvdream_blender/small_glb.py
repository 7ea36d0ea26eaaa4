# SPDX-License-Identifier: GPL-3.0-or-later
"""A GLB of one box with a one-pixel texture, and a picture, made with the standard library only."""

import json
import struct
import zlib

# glTF is Y up with the front to +Z: 1 wide, 3 high, 2 deep.
HALF = (0.5, 1.5, 1.0)


def box(colour=(255, 0, 0), meshes=1, model=None) -> bytes:
    """The file. `meshes` 0 leaves an empty node; `model` is said to have made it."""
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    positions = b"".join(
        struct.pack("<3f", *(sign * half for sign, half in zip(corner, HALF, strict=True)))
        for corner in corners
    )
    uvs = b"".join(struct.pack("<2f", 0.5, 0.5) for _ in corners)
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [index for a, b, c, d in faces for index in (a, b, c, a, c, d)]
    indices = struct.pack(f"<{len(triangles)}H", *triangles)
    picture = png(colour)
    views, blob = [], b""
    for part in (positions, uvs, indices, picture):
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(part)})
        blob += part + b"\0" * (-len(part) % 4)
    extras = {"stray": 1} | ({"model": model} if model else {})
    node = {"name": "thing", "mesh": 0, "extras": extras} if meshes else {"name": "nothing"}
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}
        ],
        "materials": [{"name": "m", "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "textures": [{"source": 0}],
        "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": 8,
                "type": "VEC3",
                "min": [-half for half in HALF],
                "max": list(HALF),
            },
            {"bufferView": 1, "componentType": 5126, "count": 8, "type": "VEC2"},
            {"bufferView": 2, "componentType": 5123, "count": len(triangles), "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(blob)}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def png(colour=(255, 0, 0)) -> bytes:
    """A picture of one pixel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + bytes(colour))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
