# SPDX-License-Identifier: GPL-3.0-or-later
"""Analytic shapes whose volume, area and topology are known."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from backend.mesh.tri_mesh import TriMesh


def ball(
    p: torch.Tensor, radius: float = 0.5, centre: tuple[float, float, float] = (0, 0, 0)
) -> torch.Tensor:
    """Depth below the surface of a ball."""
    return radius - (p - torch.tensor(centre, dtype=p.dtype)).norm(dim=-1)


def torus(p: torch.Tensor, ring: float = 0.5, tube: float = 0.2) -> torch.Tensor:
    """Depth below the surface of a torus lying flat."""
    return tube - torch.hypot(torch.hypot(p[:, 0], p[:, 1]) - ring, p[:, 2])


def box(p: torch.Tensor, half: float = 0.4) -> torch.Tensor:
    """Depth below the surface of a cube (exact inside, which is enough)."""
    return half - p.abs().amax(dim=-1)


def field(depth: Callable, peak: float = 100.0, edge: float = 0.004) -> Callable:
    """A density that rises to `peak` over `edge` world units, half of it at the surface."""
    return lambda p: peak * torch.sigmoid(depth(p) / edge)


def cube_mesh(half: float = 0.5, centre: tuple[float, float, float] = (0, 0, 0)) -> TriMesh:
    """Twelve outward triangles on eight vertices; vertex index = 4 x + 2 y + z with 0/1 for -/+."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))]
    return TriMesh(corners * half + np.array(centre), np.array(faces))


def join(*meshes: TriMesh) -> TriMesh:
    """Several meshes as one."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    return TriMesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]),
    )


def camera(azimuth: float, elevation: float, distance: float) -> np.ndarray:
    """c2w (4, 4) of a camera that looks at the origin, written out by hand for the tests."""
    a, e = np.radians((azimuth, elevation))
    back = np.array([np.cos(e) * np.sin(a), -np.cos(e) * np.cos(a), np.sin(e)])
    right = np.array([np.cos(a), np.sin(a), 0.0])
    matrix = np.eye(4)
    matrix[:3] = np.stack([right, np.cross(back, right), back, back * distance], axis=1)
    return matrix


@pytest.fixture(scope="session")
def shapes() -> SimpleNamespace:
    return SimpleNamespace(
        ball=ball, torus=torus, box=box, field=field, cube_mesh=cube_mesh, join=join, camera=camera
    )
