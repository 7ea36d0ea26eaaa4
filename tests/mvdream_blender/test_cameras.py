# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinhole cameras against Blender's own projection, and orbits against hand-computed places."""

import pytest

bpy = pytest.importorskip("bpy")
bpy_extras = pytest.importorskip("bpy_extras.object_utils")

from mathutils import Euler, Vector  # noqa: E402

from mvdream_blender.cameras import orbit_matrix, pinhole  # noqa: E402

POINTS = [(0.0, 0.0, 0.0), (0.3, -0.2, 0.5), (-0.7, 0.4, -0.1), (0.1, 0.9, 0.25)]


@pytest.fixture
def camera():
    data = bpy.data.cameras.new("c")
    obj = bpy.data.objects.new("c", data)
    bpy.context.scene.collection.objects.link(obj)
    yield obj
    bpy.data.objects.remove(obj)
    bpy.data.cameras.remove(data)


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize(
    ("width", "height", "percent", "aspect"),
    [(640, 480, 100, (1, 1)), (300, 500, 50, (1, 1)), (256, 256, 100, (2, 1.5))],
)
def test_pinhole_agrees_with_blender(camera, fit, width, height, percent, aspect):
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.resolution_percentage = percent
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = aspect
    camera.location = (1.5, -3.0, 1.2)
    camera.rotation_euler = Euler((1.2, 0.1, 0.4))
    camera.data.sensor_fit = fit
    camera.data.lens, camera.data.sensor_width, camera.data.sensor_height = 41.0, 33.0, 21.0
    camera.data.shift_x, camera.data.shift_y = 0.07, -0.11
    bpy.context.view_layer.update()
    pin = pinhole(camera, scene)
    for point in POINTS:
        u, v, depth = bpy_extras.world_to_camera_view(scene, camera, Vector(point))
        x, y, z = pin.project(Vector(point))
        assert x == pytest.approx(u * pin.width, abs=0.01)
        assert y == pytest.approx((1 - v) * pin.height, abs=0.01)
        assert z == pytest.approx(depth, abs=1e-4)


def test_orthographic_camera_is_refused_by_name(camera):
    camera.data.type = "ORTHO"
    with pytest.raises(ValueError, match=camera.name):
        pinhole(camera, bpy.context.scene)


@pytest.mark.parametrize(
    ("azimuth", "elevation", "place"),
    [
        (0, 0, (0, -2, 0)),
        (90, 0, (2, 0, 0)),
        (180, 0, (0, 2, 0)),
        (0, 30, (0, -(3**0.5), 1)),
        (45, 90, (0, 0, 2)),
    ],
)
def test_orbit(azimuth, elevation, place):
    matrix = orbit_matrix(azimuth, elevation, 2.0)
    assert matrix.translation[:] == pytest.approx(place, abs=1e-6)
    assert (matrix @ Vector((0, 0, -2)))[:] == pytest.approx((0, 0, 0), abs=1e-6)  # looks at the origin
    assert matrix.to_3x3().determinant() == pytest.approx(1, abs=1e-6)
    assert (matrix.to_3x3() @ Vector((0, 1, 0))).z >= -1e-6  # upright
