# SPDX-License-Identifier: GPL-3.0-or-later
"""From a radiance field to a textured mesh in a file: extract, clean, simplify, unwrap, bake, write."""

from backend.mesh.baking import bake, visible_points
from backend.mesh.cleaning import count_components, remove_floaters
from backend.mesh.extraction import extract
from backend.mesh.glb import write_glb
from backend.mesh.glb_reader import read_extras, read_glb
from backend.mesh.normals import with_normals
from backend.mesh.rasterizer import Raster, rasterize
from backend.mesh.rendering import render_mesh
from backend.mesh.simplification import simplify
from backend.mesh.smoothing import smooth
from backend.mesh.threshold import find_threshold
from backend.mesh.tri_mesh import TriMesh
from backend.mesh.unwrapping import unwrap

__all__ = [
    "Raster",
    "TriMesh",
    "bake",
    "count_components",
    "extract",
    "find_threshold",
    "rasterize",
    "read_extras",
    "read_glb",
    "remove_floaters",
    "render_mesh",
    "simplify",
    "smooth",
    "unwrap",
    "visible_points",
    "with_normals",
    "write_glb",
]
