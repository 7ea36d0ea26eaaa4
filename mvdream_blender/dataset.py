# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders objects from camera orbits into a dataset folder: multi-view training data.

The folder's format is documented in docs/dataset.md. The user's objects are never moved or scaled: the
cameras are.
"""

import json
import math
import os
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

from .cameras import orbit_matrix
from .studio_light import StudioLight

OBJECT_RADIUS = 0.75  # the object's bounding sphere in the written coordinates


@dataclass(frozen=True)
class ViewSet:
    """Views of one object that share elevation, distance and field of view, at equal steps of azimuth.

    Args:
        azimuth: of the first view, degrees.
        elevation: degrees above the horizon.
        fov: field of view of the square image, degrees.
        relative_distance: distance times tan(fov / 2).
        views: how many, 360 / views degrees apart.
    """

    azimuth: float
    elevation: float
    fov: float
    relative_distance: float
    views: int = 4

    @property
    def distance(self) -> float:
        return self.relative_distance / math.tan(math.radians(self.fov) / 2)

    def matrices(self) -> list[Matrix]:
        """Camera-to-world matrices of the views."""
        return [
            orbit_matrix(self.azimuth + 360 * i / self.views, self.elevation, self.distance)
            for i in range(self.views)
        ]


def random_view_sets(
    count: int,
    seed: int = 0,
    views: int = 4,
    fov: tuple[float, float] = (15.0, 60.0),
    elevation: tuple[float, float] = (0.0, 30.0),
    relative_distance: tuple[float, float] = (0.9, 1.0),
) -> list[ViewSet]:
    """Random view sets, uniform in each range (degrees).

    The defaults are the ranges of the MVDream paper, section 4.1.
    """
    rng = random.Random(seed)
    return [
        ViewSet(
            rng.uniform(0, 360),
            rng.uniform(*elevation),
            rng.uniform(*fov),
            rng.uniform(*relative_distance),
            views,
        )
        for _ in range(count)
    ]


def bounding_sphere(objects: Iterable[bpy.types.Object]) -> tuple[Vector, float]:
    """Centre of the evaluated geometry's bounding box and the distance of its farthest vertex, world space.

    Raises:
        ValueError: no object has a surface.
    """
    depsgraph = bpy.context.evaluated_depsgraph_get()
    clouds = []
    for obj in objects:
        evaluated = obj.evaluated_get(depsgraph)
        try:
            mesh = evaluated.to_mesh()
        except RuntimeError:  # lights, cameras, empties have none
            continue
        points = np.empty(3 * len(mesh.vertices), np.float32)
        mesh.vertices.foreach_get("co", points)
        evaluated.to_mesh_clear()
        if points.size:
            matrix = np.array(obj.matrix_world)
            clouds.append(points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
    if not clouds:
        raise ValueError("Nothing to render: none of the selected objects has a surface")
    cloud = np.concatenate(clouds)
    center = (cloud.min(0) + cloud.max(0)) / 2
    return Vector(center), float(np.linalg.norm(cloud - center, axis=1).max())


class ViewRenderer:
    """A scene of its own for rendering views, so that the user's scene and render settings stay as they are.

    Use as a context manager; the scene, camera, light and world are removed at the end.

    Args:
        image_size: pixels of the square image.
        engine: "CYCLES", or "WORKBENCH" (many times faster; its studio light is fixed to the world so that
            views agree).
        samples: Cycles samples a pixel.
        file_format: "PNG" or "WEBP".
    """

    def __init__(
        self, image_size: int = 256, engine: str = "CYCLES", samples: int = 16, file_format: str = "PNG"
    ):
        if engine not in ("CYCLES", "WORKBENCH"):
            raise ValueError(f"Unknown engine {engine!r}; choose CYCLES or WORKBENCH")
        if file_format not in ("PNG", "WEBP"):
            raise ValueError(f"Unknown image format {file_format!r}; choose PNG or WEBP")
        self.suffix = file_format.lower()
        self.scene = bpy.data.scenes.new("MVDream views")
        self.camera = bpy.data.objects.new("MVDream camera", bpy.data.cameras.new("MVDream camera"))
        self.scene.collection.objects.link(self.camera)
        self.scene.camera = self.camera
        self._world = bpy.data.worlds.new("MVDream world")
        self.scene.world = self._world
        self._light: bpy.types.Object | None = None
        self._studio: StudioLight | None = None
        self._set_image(image_size, file_format)
        if engine == "CYCLES":
            self._set_cycles(samples)
        else:
            self._set_workbench()

    def __enter__(self) -> "ViewRenderer":
        if self._studio is not None:
            self._studio.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._studio is not None:
            self._studio.__exit__(*exc)
        cameras = self.camera.data
        bpy.data.objects.remove(self.camera)
        bpy.data.cameras.remove(cameras)
        if self._light is not None:
            light = self._light.data
            bpy.data.objects.remove(self._light)
            bpy.data.lights.remove(light)
        bpy.data.scenes.remove(self.scene)
        bpy.data.worlds.remove(self._world)

    def render(
        self,
        objects: Sequence[bpy.types.Object],
        folder: Path,
        caption: str,
        view_sets: Sequence[ViewSet],
        radius: float = OBJECT_RADIUS,
        extra: dict | None = None,
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        """Renders all views of one group of objects into a new folder (written beside, then renamed).

        Args:
            objects: what is seen; linked into this renderer's scene for the time of the call.
            folder: made by this call; an existing one is replaced when the new one is complete.
            caption: what a prompt would call it.
            view_sets: the cameras, relative to the group's bounding sphere.
            radius: of the bounding sphere in the written coordinates; the trainer expects 0.75 at most.
            extra: more keys for transforms.json.
            report: called with (images done, images in all); may raise to stop, then nothing is left behind.
        """
        if folder.exists() and not (folder / "transforms.json").is_file() and any(folder.iterdir()):
            raise ValueError(
                f"{folder} holds other things than an object and is left alone; name a new folder"
            )
        center, size = bounding_sphere(objects)
        scale = size / radius
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        linked = [obj for obj in objects if obj.name not in self.scene.collection.objects]
        for obj in linked:
            self.scene.collection.objects.link(obj)
        try:
            frames = self._render_frames(part, view_sets, center, scale, report)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        finally:
            for obj in linked:
                self.scene.collection.objects.unlink(obj)
        transforms = {
            "caption": caption,
            "camera_angle_x": frames[0]["camera_angle_x"],
            **(extra or {}),
            "frames": frames,
        }
        (part / "transforms.json").write_text(json.dumps(transforms), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)

    def render_still(self, matrix: Matrix, fov: float, path: Path) -> None:
        """Renders one picture of the linked objects.

        Args:
            matrix: camera-to-world in the scene.
            fov: degrees.
            path: of the picture.
        """
        self.camera.matrix_world = matrix
        self.camera.data.sensor_fit = "HORIZONTAL"
        self.camera.data.angle = math.radians(fov)
        distance = matrix.translation.length
        self.camera.data.clip_start = max(1e-4, distance * 1e-3)
        self.camera.data.clip_end = distance * 100 + 1000
        self.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True, scene=self.scene.name)

    def _render_frames(
        self,
        folder: Path,
        view_sets: Sequence[ViewSet],
        center: Vector,
        scale: float,
        report: Callable[[int, int], None] | None,
    ) -> list[dict]:
        frames: list[dict] = []
        total = sum(views.views for views in view_sets)
        for index, views in enumerate(view_sets):
            for matrix in views.matrices():
                name = f"{len(frames):03d}.{self.suffix}"
                in_scene = matrix.copy()
                in_scene.translation = center + scale * matrix.translation
                self.render_still(in_scene, views.fov, folder / name)
                frames.append(
                    {
                        "file_path": name,
                        "set": index,
                        "camera_angle_x": math.radians(views.fov),
                        "transform_matrix": [[round(x, 7) for x in row] for row in matrix],
                    }
                )
                if report is not None:
                    report(len(frames), total)
        return frames

    def _set_image(self, image_size: int, file_format: str) -> None:
        render = self.scene.render
        render.resolution_x = render.resolution_y = image_size
        render.resolution_percentage = 100
        render.film_transparent = True
        render.use_file_extension = False
        render.image_settings.file_format = file_format
        render.image_settings.color_mode = "RGBA"
        render.image_settings.quality = 95
        # the default AgX changes colours; the model should learn the ones that were set
        self.scene.view_settings.view_transform = "Standard"
        self.scene.view_settings.look = "None"

    def _set_cycles(self, samples: int) -> None:
        self.scene.render.engine = "CYCLES"
        self.scene.render.use_persistent_data = True
        self.scene.cycles.samples = samples
        try:
            self.scene.cycles.use_denoising = True
            self.scene.cycles.denoiser = "OPENIMAGEDENOISE"
        except TypeError:  # builds without OpenImageDenoise
            self.scene.cycles.use_denoising = False
        self._world.use_nodes = True
        background = next(node for node in self._world.node_tree.nodes if node.type == "BACKGROUND")
        background.inputs["Color"].default_value = (1, 1, 1, 1)
        background.inputs["Strength"].default_value = 0.6
        sun = bpy.data.lights.new("MVDream sun", "SUN")
        sun.energy = 2.0
        sun.angle = math.radians(20)  # soft shadows
        self._light = bpy.data.objects.new("MVDream sun", sun)
        self._light.rotation_euler = (math.radians(40), 0, math.radians(-30))
        self.scene.collection.objects.link(self._light)

    def _set_workbench(self) -> None:
        self.scene.render.engine = "BLENDER_WORKBENCH"
        shading = self.scene.display.shading
        shading.light = "STUDIO"
        shading.studio_light = "Default"  # the one that follows the preferences
        self._studio = StudioLight()
        shading.color_type = "MATERIAL"
        shading.use_world_space_lighting = True  # else the light turns with the camera and views disagree
        shading.show_specular_highlight = True
        self.scene.display.render_aa = "5"


def render_dataset(
    objects: Sequence[bpy.types.Object],
    folder: str | Path,
    caption: str,
    *,
    sets: int = 8,
    views: int = 4,
    image_size: int = 256,
    engine: str = "CYCLES",
    samples: int = 16,
    seed: int = 0,
    fov: tuple[float, float] = (15.0, 60.0),
    elevation: tuple[float, float] = (0.0, 30.0),
    relative_distance: tuple[float, float] = (0.9, 1.0),
    file_format: str = "PNG",
    report: Callable[[int, int], None] | None = None,
) -> Path:
    """Renders `sets` x `views` images of the objects, seen together, into `folder`.

    Args:
        objects: Blender objects; they stay where they are.
        folder: one object's folder of a dataset; gets the images and transforms.json.
        caption: what a prompt would call them.
        sets, views: random view sets and equally spaced views in each.
        image_size, engine, samples, file_format: see ViewRenderer.
        seed: of the random cameras.
        fov, elevation, relative_distance: ranges of the cameras, degrees.
        report: called with (images done, images in all).

    Returns:
        The folder.

    Raises:
        ValueError: empty caption, no surface, unknown engine or format, a size or count out of range.
    """
    if not caption.strip():
        raise ValueError(
            "The caption is empty; write what a prompt would call the object, for instance 'a red mug'"
        )
    if sets < 1 or views < 1:
        raise ValueError(f"At least one set of one view is needed (got {sets} sets of {views} views)")
    if not 16 <= image_size <= 4096:
        raise ValueError(f"Image size {image_size} is out of range; choose 16 to 4096 pixels")
    bounding_sphere(objects)  # refuses before anything is made
    view_sets = random_view_sets(sets, seed, views, fov, elevation, relative_distance)
    with ViewRenderer(image_size, engine, samples, file_format) as renderer:
        renderer.render(objects, Path(folder), caption.strip(), view_sets, report=report)
    return Path(folder)
