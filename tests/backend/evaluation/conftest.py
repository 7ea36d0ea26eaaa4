# SPDX-License-Identifier: GPL-3.0-or-later
"""The held-out references, and made-up ones whose numbers can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from backend.evaluation.heldout import HeldOut, Part, Reference, load_heldout
from backend.mesh import TriMesh


@pytest.fixture(scope="session")
def heldout() -> HeldOut:
    return load_heldout()


@pytest.fixture(scope="session")
def reference(heldout: HeldOut) -> Callable[[str], Reference]:
    """A reference by a piece of its prompt."""

    def find(words: str) -> Reference:
        return next(ref for ref in heldout.references if words in ref.prompt)

    return find


@pytest.fixture
def two_halves() -> Reference:
    """A square 32 pixels wide, its left half red (main), its right half blue (second), in full light."""
    parts = np.zeros((8, 64, 64), np.uint8)
    parts[:, 16:48, 16:32] = 1
    parts[:, 16:48, 32:48] = 2
    images = np.zeros((8, 64, 64, 4), np.float32)
    images[parts == 1] = (0.85, 0.08, 0.08, 1)
    images[parts == 2] = (0.12, 0.30, 0.92, 1)
    return Reference(
        slug="box",
        prompt="a red box with a blue lid",
        kinds=("box",),
        fronts=(False,),
        patterned=(False,),
        parts=(Part(1, 0, "main", "red"), Part(2, 0, "second", "blue")),
        images=images,
        part_maps=parts,
        c2w=np.stack([_camera(45 * i) for i in range(8)]),
        fov=35.0,
    )


@pytest.fixture
def cube() -> Callable[[tuple[float, float, float], float], TriMesh]:
    """An axis-aligned cube at a place, with a side."""

    def make(at: tuple[float, float, float], side: float) -> TriMesh:
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * side / 2 + at
        quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
        faces = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
        return TriMesh(corners, np.array(faces))

    return make


def _camera(azimuth: float) -> np.ndarray:
    a, distance = np.radians(azimuth), 3.0
    matrix = np.eye(4)
    matrix[:3, 0] = np.cos(a), np.sin(a), 0
    matrix[:3, 1] = 0, 0, 1
    matrix[:3, 2] = np.sin(a), -np.cos(a), 0
    matrix[:3, 3] = matrix[:3, 2] * distance
    return matrix
