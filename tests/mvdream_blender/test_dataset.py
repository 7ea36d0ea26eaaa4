# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered datasets: places in the images, untouched user scenes, no half-written folders."""

import json
import math

import pytest

bpy = pytest.importorskip("bpy")

import numpy as np  # noqa: E402
from mathutils import Matrix, Vector  # noqa: E402

from mvdream_blender.dataset import OBJECT_RADIUS, ViewRenderer, ViewSet, render_dataset  # noqa: E402


def pixels(path):
    image = bpy.data.images.load(str(path))
    width, height = image.size
    values = np.array(image.pixels[:]).reshape(height, width, 4)[::-1]
    bpy.data.images.remove(image)
    return values


@pytest.fixture
def ball():
    mesh = bpy.data.meshes.new("ball")
    import bmesh

    bm = bmesh.new()
    bmesh.ops.create_uvsphere(bm, u_segments=48, v_segments=24, radius=3.0)
    bm.to_mesh(mesh)
    bm.free()
    material = bpy.data.materials.new("red")
    material.diffuse_color = (1, 0, 0, 1)
    mesh.materials.append(material)
    obj = bpy.data.objects.new("ball", mesh)
    obj.matrix_world = Matrix.Translation((10, -4, 2))
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.update()
    yield obj
    bpy.data.objects.remove(obj)
    bpy.data.meshes.remove(mesh)
    bpy.data.materials.remove(material)


def test_ball_has_the_computed_size_wherever_it_stands(tmp_path, ball):
    views = ViewSet(azimuth=20, elevation=10, fov=40, relative_distance=1.0)
    with ViewRenderer(128, "WORKBENCH") as renderer:
        renderer.render([ball], tmp_path / "ball", "a red ball", [views])
    data = json.loads((tmp_path / "ball" / "transforms.json").read_text())
    assert data["caption"] == "a red ball"
    assert data["camera_angle_x"] == pytest.approx(math.radians(40))
    assert len(data["frames"]) == 4
    # a sphere of radius r at distance d covers asin(r / d); its edge is seen at tan of that angle
    edge = math.tan(math.asin(OBJECT_RADIUS / views.distance)) / math.tan(math.radians(20)) * 64
    for frame in data["frames"]:
        alpha = pixels(tmp_path / "ball" / frame["file_path"])[..., 3]
        assert math.sqrt(alpha.sum() / math.pi) == pytest.approx(edge, rel=0.01)
        rows, columns = np.nonzero(alpha > 0.5)
        assert abs(rows.mean() - 63.5) < 0.5
        assert abs(columns.mean() - 63.5) < 0.5


def test_matrices_see_a_mark_where_they_say(tmp_path, ball):
    mark = bpy.data.objects.new("mark", ball.data.copy())
    mark.data.materials[0] = bpy.data.materials.new("green")
    mark.data.materials[0].diffuse_color = (0, 1, 0, 1)
    mark.matrix_world = Matrix.Translation((10, -4 - 3.8, 2 + 1.25)) @ Matrix.Scale(0.15, 4)
    bpy.context.scene.collection.objects.link(mark)
    bpy.context.view_layer.update()
    try:
        render_dataset(
            [ball, mark],
            tmp_path / "o",
            "a ball",
            sets=2,
            image_size=128,
            engine="WORKBENCH",
            seed=3,
            elevation=(0, 40),
        )
        from mvdream_blender.dataset import bounding_sphere

        center, size = bounding_sphere([ball, mark])
        point = (mark.matrix_world.translation - center) * OBJECT_RADIUS / size
        seen = 0
        for frame in json.loads((tmp_path / "o" / "transforms.json").read_text())["frames"]:
            image = pixels(tmp_path / "o" / frame["file_path"])
            green = (image[..., 1] > 0.3) & (image[..., 0] < 0.2) & (image[..., 3] > 0.9)
            camera = Matrix(frame["transform_matrix"])
            if Vector(point).dot(camera.translation) < 0.3:  # behind the ball, or at its limb
                continue
            seen += 1
            local = camera.inverted() @ Vector(point)
            focal = 64 / math.tan(frame["camera_angle_x"] / 2)
            rows, columns = np.nonzero(green)
            assert columns.mean() + 0.5 == pytest.approx(64 + focal * local.x / -local.z, abs=1.5)
            assert rows.mean() + 0.5 == pytest.approx(64 - focal * local.y / -local.z, abs=1.5)
        assert seen >= 2
    finally:
        bpy.data.objects.remove(mark)


def test_user_scene_is_left_alone(tmp_path, ball):
    before = (
        ball.matrix_world.copy(),
        len(bpy.data.scenes),
        len(bpy.data.cameras),
        len(bpy.data.worlds),
        len(bpy.data.lights),
    )
    engine = bpy.context.scene.render.engine
    render_dataset([ball], tmp_path / "o", "a ball", sets=1, image_size=32, engine="WORKBENCH")
    after = (
        ball.matrix_world.copy(),
        len(bpy.data.scenes),
        len(bpy.data.cameras),
        len(bpy.data.worlds),
        len(bpy.data.lights),
    )
    assert before == after
    assert bpy.context.scene.render.engine == engine


def test_interrupted_render_leaves_nothing(tmp_path, ball):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_dataset(
            [ball], tmp_path / "o", "a ball", sets=1, image_size=32, engine="WORKBENCH", report=stop
        )
    assert list(tmp_path.iterdir()) == []


def test_cycles_colour_and_straight_alpha(tmp_path, ball):
    material = ball.data.materials[0]
    material.use_nodes = True
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (1, 0, 0, 1)
    render_dataset([ball], tmp_path / "o", "a ball", sets=1, image_size=48, engine="CYCLES", samples=8)
    image = pixels(tmp_path / "o" / "000.png")
    half = (image[..., 3] > 0.2) & (image[..., 3] < 0.8)
    assert half.any()
    assert image[24, 24, 0] > 3 * image[24, 24, 1]
    # straight alpha: edge pixels are as red as the rest, not darkened towards black
    assert image[half][:, 0].mean() > 0.5 * image[image[..., 3] > 0.99][:, 0].mean()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"caption": "  "}, "caption is empty"),
        ({"engine": "EEVEE"}, "EEVEE"),
        ({"image_size": 4}, "Image size 4"),
        ({"sets": 0}, "0 sets"),
    ],
)
def test_bad_input_is_named(tmp_path, ball, change, words):
    arguments = {"caption": "a ball", "engine": "WORKBENCH", "image_size": 32, "sets": 1} | change
    with pytest.raises(ValueError, match=words):
        render_dataset([ball], tmp_path / "o", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_render(tmp_path):
    empty = bpy.data.objects.new("empty", None)
    try:
        with pytest.raises(ValueError, match="surface"):
            render_dataset([empty], tmp_path / "o", "nothing")
    finally:
        bpy.data.objects.remove(empty)


def test_a_folder_of_other_things_is_left_alone(tmp_path, ball):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="left alone"):
        render_dataset([ball], tmp_path, "a ball", sets=1, image_size=32, engine="WORKBENCH")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
