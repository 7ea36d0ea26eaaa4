# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders an object from 8 sides into one picture."""

import math
import tempfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector

VIEWS = 8
COLUMNS = 4
SIZE = 256
ELEVATION = 20.0
FIELD_OF_VIEW = 30.0
SAMPLES = 16
# sRGB, 0..1: as light as paper, so that white objects stand out too.
BACKGROUND = (0.80, 0.81, 0.82)
MARGIN = 1.05


class Stage:
    """A camera on a turntable around an object.

    Attributes:
        camera: looks at `centre`.
        pivot: an empty in the centre; turned about Z, it takes camera and lights around the object.
    """

    def __init__(self, camera: bpy.types.Object, pivot: bpy.types.Object) -> None:
        self.camera = camera
        self.pivot = pivot


def set_up_stage(subject: bpy.types.Object) -> Stage:
    """Puts camera, lights and background around an object, for good. The camera is in front, at -Y."""
    scene = bpy.context.scene
    _set_up_render(scene)
    centre, radius = bounding_sphere(subject)
    pivot = _linked(bpy.data.objects.new("Turntable", None), None)
    pivot.location = centre
    pivot.empty_display_size = radius
    pivot.hide_render = True
    camera = bpy.data.cameras.new("Camera")
    camera.sensor_fit = "HORIZONTAL"
    camera.angle = math.radians(FIELD_OF_VIEW)
    distance = MARGIN * radius / math.sin(math.radians(FIELD_OF_VIEW) / 2)
    camera.clip_start, camera.clip_end = distance / 100, distance * 100
    rig = _linked(bpy.data.objects.new("Camera", camera), pivot)
    _aim(rig, ELEVATION, 0.0, distance)
    scene.camera = rig
    # Most of the light is even, for the texture already holds some shading: lights only model the shape.
    _light("Key", pivot, 1.3, elevation=50.0, azimuth=-40.0, angle=30.0)
    _light("Fill", pivot, 0.4, elevation=25.0, azimuth=60.0, angle=60.0)
    return Stage(rig, pivot)


def render_turnaround(subject: bpy.types.Object, stage: Stage, path: Path) -> None:
    """Renders `VIEWS` pictures: azimuth 0 first, then counter-clockwise as seen from above."""
    scene = bpy.context.scene
    pictures = []
    with tempfile.TemporaryDirectory(prefix="mvdream-turnaround-") as folder:
        for view in range(VIEWS):
            stage.pivot.rotation_euler.z = 2 * math.pi * view / VIEWS
            scene.render.filepath = str(Path(folder, f"{view}.png"))
            bpy.ops.render.render(write_still=True)
            pictures.append(_read(scene.render.filepath))
    stage.pivot.rotation_euler.z = 0.0
    scene.render.filepath = ""
    _write(_in_rows(pictures), path)


def bounding_sphere(subject: bpy.types.Object) -> tuple[Vector, float]:
    """Centre of an object's box and the radius that its vertices reach from there, in world units."""
    corners = [subject.matrix_world @ Vector(corner) for corner in subject.bound_box]
    low = Vector(map(min, zip(*corners, strict=True)))
    high = Vector(map(max, zip(*corners, strict=True)))
    centre = (low + high) / 2
    radius = max((subject.matrix_world @ vertex.co - centre).length for vertex in subject.data.vertices)
    return centre, max(radius, 1e-6)


def _set_up_render(scene: bpy.types.Scene) -> None:
    render = scene.render
    render.engine = "CYCLES"
    render.resolution_x = render.resolution_y = SIZE
    render.resolution_percentage = 100
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGBA"
    render.film_transparent = True
    render.use_persistent_data = True
    scene.cycles.device = "CPU"
    scene.cycles.samples = SAMPLES
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.max_bounces = 2
    scene.cycles.use_denoising = _set_up_denoiser(scene)
    # Colours as they are in the texture; the default bends them.
    scene.view_settings.view_transform = "Standard"
    world = scene.world or bpy.data.worlds.new("World")
    scene.world = world
    if bpy.app.version < (5, 0):  # later it always has nodes, and says so when it is asked to
        world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    background.inputs["Strength"].default_value = 0.6


def _set_up_denoiser(scene: bpy.types.Scene) -> bool:
    """Whether there is one: some distributions build Blender without it."""
    try:
        scene.cycles.denoiser = "OPENIMAGEDENOISE"
    except TypeError:
        return False
    # The light is soft, so there is little to clean; guiding passes would cost more than the rendering.
    scene.cycles.denoising_input_passes = "RGB"
    scene.cycles.denoising_quality = "FAST"
    return True


def _light(
    name: str, pivot: bpy.types.Object, strength: float, elevation: float, azimuth: float, angle: float
) -> None:
    light = bpy.data.lights.new(name, "SUN")
    light.energy = strength
    light.angle = math.radians(angle)
    _aim(_linked(bpy.data.objects.new(name, light), pivot), elevation, azimuth, 3.0)


def _aim(item: bpy.types.Object, elevation: float, azimuth: float, distance: float) -> None:
    """Places something around the pivot, looking at it."""
    e, a = math.radians(elevation), math.radians(azimuth)
    item.location = distance * Vector((math.cos(e) * math.sin(a), -math.cos(e) * math.cos(a), math.sin(e)))
    item.rotation_euler = (-item.location).to_track_quat("-Z", "Y").to_euler()


def _linked(item: bpy.types.Object, parent: bpy.types.Object | None) -> bpy.types.Object:
    bpy.context.scene.collection.objects.link(item)
    item.parent = parent
    return item


def _read(path: str) -> np.ndarray:
    """(H, W, 4), top row first, sRGB 0..1 with straight alpha."""
    image = bpy.data.images.load(path)
    try:
        values = np.empty(SIZE * SIZE * 4, np.float32)
        image.pixels.foreach_get(values)
    finally:
        bpy.data.images.remove(image)
    return values.reshape(SIZE, SIZE, 4)[::-1]


def _in_rows(pictures: list[np.ndarray]) -> np.ndarray:
    """All pictures in one, row by row, on the background: (H, W, 4)."""
    rows = [
        np.concatenate(pictures[start : start + COLUMNS], 1) for start in range(0, len(pictures), COLUMNS)
    ]
    sheet = np.concatenate(rows, 0)
    alpha = sheet[..., 3:]
    colour = alpha * sheet[..., :3] + (1 - alpha) * np.array(BACKGROUND, np.float32)
    return np.concatenate([colour, np.ones_like(alpha)], -1)


def _write(sheet: np.ndarray, path: Path) -> None:
    height, width = sheet.shape[:2]
    image = bpy.data.images.new("Turnaround", width, height)
    try:
        image.pixels.foreach_set(np.ascontiguousarray(sheet[::-1], np.float32).ravel())
        image.file_format = "PNG"
        image.filepath_raw = str(path)
        image.save()
    finally:
        bpy.data.images.remove(image)
