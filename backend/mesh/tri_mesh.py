# SPDX-License-Identifier: GPL-3.0-or-later
"""The triangle mesh every step of `backend.mesh` takes and returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


@dataclass
class TriMesh:
    """Triangles in Blender's world (Z up, front -Y), counter-clockwise seen from outside.

    vertices: (V, 3) float32, world units.
    faces: (F, 3) int32, indices into the vertices.
    uv: (V, 2) float32 in 0..1 or None; the origin is the lower left corner, as in Blender and OpenGL.
    normals: (V, 3) float32 of unit length or None.
    texture: (H, W, 3) uint8 or None, sRGB; row 0 is the upper edge, so row r holds v = 1 - (r + 0.5) / H.

    Raises ValueError when the shapes don't fit together.
    """

    vertices: FloatArray
    faces: IntArray
    uv: FloatArray | None = None
    normals: FloatArray | None = None
    texture: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        self.vertices = np.ascontiguousarray(self.vertices, dtype=np.float32)
        self.faces = np.ascontiguousarray(self.faces, dtype=np.int32)
        count = len(self.vertices)
        _expect(self.vertices, "vertices", (count, 3))
        _expect(self.faces, "faces", (len(self.faces), 3))
        if self.faces.size and not (self.faces.min() >= 0 and self.faces.max() < count):
            raise ValueError(f"faces point outside the {count} vertices")
        if self.uv is not None:
            self.uv = np.ascontiguousarray(self.uv, dtype=np.float32)
            _expect(self.uv, "uv", (count, 2))
        if self.normals is not None:
            self.normals = np.ascontiguousarray(self.normals, dtype=np.float32)
            _expect(self.normals, "normals", (count, 3))
        if self.texture is not None:
            if self.texture.dtype != np.uint8:
                raise ValueError(f"texture must be uint8, not {self.texture.dtype}")
            _expect(self.texture, "texture", (*self.texture.shape[:2], 3))

    def corners(self) -> FloatArray:
        """Positions of the corners of every face, (F, 3 corners, 3)."""
        return self.vertices[self.faces]

    def with_faces(self, keep: NDArray[np.bool_]) -> TriMesh:
        """The faces where `keep` (F,) is true, without the vertices nobody uses any more."""
        faces = self.faces[keep]
        used, inverse = np.unique(faces, return_inverse=True)
        return replace(
            self,
            vertices=self.vertices[used],
            faces=inverse.reshape(faces.shape),
            uv=None if self.uv is None else self.uv[used],
            normals=None if self.normals is None else self.normals[used],
        )


def _expect(array: NDArray[Any], name: str, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
