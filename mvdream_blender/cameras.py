# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender cameras as pinhole cameras, and cameras on an orbit. Needs bpy's mathutils only."""

import math
from dataclasses import dataclass

import bpy
from mathutils import Matrix, Vector


@dataclass(frozen=True)
class Pinhole:
    """A pinhole camera in pixels.

    Args:
        width, height: image size.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels, from the left and from the top edge.
        c2w: camera-to-world matrix without scale; the camera looks along its -Z, +Y is up.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    c2w: Matrix

    @property
    def fov_x(self) -> float:
        """Horizontal field of view in radians ("camera_angle_x" of transforms.json)."""
        return 2 * math.atan(self.width / (2 * self.fx))

    @property
    def fov_y(self) -> float:
        """Vertical field of view in radians."""
        return 2 * math.atan(self.height / (2 * self.fy))

    def project(self, point: Vector) -> tuple[float, float, float]:
        """World point -> (x from the left, y from the top, in pixels; depth along the view, > 0 in front)."""
        local = self.c2w.inverted() @ Vector(point)
        depth = -local.z
        return self.cx + self.fx * local.x / depth, self.cy - self.fy * local.y / depth, depth


def pinhole(camera: bpy.types.Object, scene: bpy.types.Scene) -> Pinhole:
    """The pinhole that renders what a Blender camera renders in a scene.

    Sensor fit, shift, pixel aspect and resolution percentage are taken into account.

    Raises:
        ValueError: the camera is not a perspective camera (the message names it).
    """
    data = camera.data
    if data.type != "PERSP":
        raise ValueError(
            f"Camera {camera.name!r} is {data.type.lower()}; multi-view data needs a perspective camera"
        )
    render = scene.render
    width = int(render.resolution_x * render.resolution_percentage / 100)
    height = int(render.resolution_y * render.resolution_percentage / 100)
    aspect_x, aspect_y = render.pixel_aspect_x, render.pixel_aspect_y
    wide = width * aspect_x >= height * aspect_y
    fit_x = data.sensor_fit == "HORIZONTAL" or (data.sensor_fit == "AUTO" and wide)
    sensor = data.sensor_height if data.sensor_fit == "VERTICAL" else data.sensor_width
    # the fitted side of the view, in pixels of aspect 1
    fitted = width * aspect_x if fit_x else height * aspect_y
    focal = data.lens / sensor * fitted
    location, rotation, _scale = camera.matrix_world.decompose()
    return Pinhole(
        width,
        height,
        fx=focal / aspect_x,
        fy=focal / aspect_y,
        cx=width / 2 - data.shift_x * fitted / aspect_x,
        cy=height / 2 + data.shift_y * fitted / aspect_y,
        c2w=Matrix.LocRotScale(location, rotation, None),
    )


def orbit_matrix(azimuth: float, elevation: float, distance: float) -> Matrix:
    """Camera-to-world of a camera that looks at the origin.

    Args:
        azimuth: degrees; 0 is at -Y (Blender's front view), growing counter-clockwise seen from above.
        elevation: degrees above the horizon, -90..90.
        distance: from the origin.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    right = Vector((math.cos(a), math.sin(a), 0.0))
    backward = Vector((math.cos(e) * math.sin(a), -math.cos(e) * math.cos(a), math.sin(e)))
    up = backward.cross(right)
    matrix = Matrix((right, up, backward)).transposed().to_4x4()
    matrix.translation = distance * backward
    return matrix
