# SPDX-License-Identifier: GPL-3.0-or-later
"""Materials that look alike in Cycles and in Workbench."""

import bpy

from .palette import COLORS, to_linear


def material(color: str, shiny: bool = False) -> bpy.types.Material:
    """The matt or glossy material of a palette colour; made once, then shared."""
    return _flat_or_lit(f"toy {color}{' shiny' if shiny else ''}", to_linear(COLORS[color]), shiny)


def _flat_or_lit(name: str, linear: tuple[float, float, float], shiny: bool) -> bpy.types.Material:
    found = bpy.data.materials.get(name)
    if found is not None:
        return found
    made = bpy.data.materials.new(name)
    made.use_fake_user = True
    made.diffuse_color = (*linear, 1.0)
    made.roughness = 0.25 if shiny else 1.0
    made.specular_intensity = 0.8 if shiny else 0.0
    made.use_nodes = True
    shader = next(node for node in made.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*linear, 1.0)
    shader.inputs["Roughness"].default_value = 0.2 if shiny else 0.9
    shader.inputs["Specular IOR Level"].default_value = 0.5 if shiny else 0.0
    return made
