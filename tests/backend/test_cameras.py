# SPDX-License-Identifier: GPL-3.0-or-later
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from backend.cameras import ViewRanges, conditioning, distance_for, orbit_c2w, orbit_views, rays, sample_views
from backend.errors import UserError

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
NAME = re.compile(r"cam\.n(\d+)\.elev(\d+)\.azi(\d+)\.span360\.blender")


@pytest.fixture(scope="module")
def camera_golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDENS / "camera.safetensors")


@pytest.fixture(scope="module")
def sampler_golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDENS / "sampler.safetensors")


def test_positions_by_hand() -> None:
    c2w = orbit_c2w([0.0, 90.0, 180.0, 0.0], [0.0, 0.0, 30.0, 90.0], [2.0, 2.0, 2.0, 3.0])
    expected = torch.tensor([[0, -2, 0], [2, 0, 0], [0, 2 * math.cos(math.pi / 6), 1], [0, 0, 3]])
    torch.testing.assert_close(c2w[:, :3, 3], expected, atol=1e-6, rtol=0)
    # The front camera: right is +X, up is +Z, and it looks towards +Y.
    torch.testing.assert_close(
        c2w[0, :3, :3], torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), atol=1e-6, rtol=0
    )


def test_straight_above_keeps_a_proper_rotation() -> None:
    c2w = orbit_c2w([0.0, 70.0], [90.0, -90.0], 1.0)
    for matrix in c2w[:, :3, :3].double():
        torch.testing.assert_close(matrix.T @ matrix, torch.eye(3).double(), atol=1e-6, rtol=0)
        assert torch.linalg.det(matrix).item() == pytest.approx(1, abs=1e-6)
    # From above with azimuth 0 the top of the image is the back of the object, +Y.
    torch.testing.assert_close(c2w[0, :3, 1], torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)


def test_conditioning_matches_the_reference_cameras(camera_golden: dict[str, torch.Tensor]) -> None:
    checked = 0
    for name, expected in camera_golden.items():
        if match := NAME.fullmatch(name):
            count, elevation, start = (int(group) for group in match.groups())
            views = orbit_views(count, elevation, distance=1.0, fov=40.0, start=start)
            torch.testing.assert_close(conditioning(views.c2w), expected, atol=2e-6, rtol=0)
            checked += 1
    assert checked == 6


def test_conditioning_leaves_its_argument_alone(camera_golden: dict[str, torch.Tensor]) -> None:
    c2w = camera_golden["normalize.c2w_in"].clone()
    torch.testing.assert_close(conditioning(c2w), camera_golden["normalize.out"], atol=2e-6, rtol=0)
    assert torch.equal(c2w, camera_golden["normalize.c2w_in"])


@pytest.mark.parametrize("batch", ["uniform_angle", "uniform_sphere"])
def test_reference_batch(sampler_golden: dict[str, torch.Tensor], batch: str) -> None:
    golden = {key.removeprefix(batch + "."): v for key, v in sampler_golden.items() if key.startswith(batch)}
    # threestudio counts azimuth from +X.
    c2w = orbit_c2w(golden["azimuth"] + 90, golden["elevation"], golden["camera_distances"])
    torch.testing.assert_close(c2w, golden["c2w"], atol=2e-6 * 7, rtol=0)
    origins, directions = rays(golden["c2w"][[1, 6]], golden["fovy"][[1, 6]], 64, 64)
    torch.testing.assert_close(origins, golden["rays_o_views"], atol=0, rtol=0)
    torch.testing.assert_close(directions, golden["rays_d_views"], atol=2e-6, rtol=0)


def test_reference_evaluation_rays(sampler_golden: dict[str, torch.Tensor]) -> None:
    for name, count in (("eval_val", 4), ("eval_test", 120)):
        _, directions = rays(sampler_golden[f"{name}.c2w"][1:2], 40.0, 32, 32)
        torch.testing.assert_close(
            directions[0], sampler_golden[f"{name}.rays_d_view1_32x32"], atol=2e-6, rtol=0
        )
        assert sampler_golden[f"{name}.c2w"].shape[0] == count


def test_rays_of_a_wide_image_by_hand() -> None:
    c2w = orbit_c2w(0.0, 0.0, 2.0)
    origins, directions = rays(c2w, 90.0, 2, 4)
    assert origins.shape == directions.shape == (1, 2, 4, 3)
    # fov 90 and height 2: focal length 1. The top left pixel centre is 1.5 to the left and 0.5 up.
    expected = torch.nn.functional.normalize(torch.tensor([-1.5, 1.0, 0.5]), dim=0)
    torch.testing.assert_close(directions[0, 0, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(origins[0, 1, 3], torch.tensor([0.0, -2, 0]), atol=1e-6, rtol=0)


def test_views_of_an_object_share_everything_but_azimuth() -> None:
    ranges = ViewRanges(fov=(20, 50), elevation=(-10, 60), relative_distance=(0.7, 1.1))
    views = sample_views(5, ranges, views=4, generator=torch.Generator().manual_seed(3))
    assert len(views) == 20
    for values in (views.fov, views.elevation, views.distance):
        groups = values.view(5, 4)
        assert torch.equal(groups, groups[:, :1].expand(5, 4))
        assert groups[:, 0].unique().numel() == 5
    steps = views.azimuth.view(5, 4).diff(dim=1) % 360
    torch.testing.assert_close(steps, torch.full((5, 3), 90.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        views.c2w, orbit_c2w(views.azimuth, views.elevation, views.distance), atol=1e-5, rtol=0
    )


def test_samples_are_uniform_in_their_ranges() -> None:
    ranges = ViewRanges()
    views = sample_views(4000, ranges, views=1, generator=torch.Generator().manual_seed(0))
    relative = views.distance * torch.tan(torch.deg2rad(views.fov) / 2)
    for values, (low, high) in (
        (views.fov, ranges.fov),
        (views.elevation, ranges.elevation),
        (relative, ranges.relative_distance),
        (views.azimuth, (0.0, 360.0)),
    ):
        unit = ((values - low) / (high - low)).sort().values
        assert unit.min() >= -1e-5
        assert unit.max() <= 1 + 1e-5
        uniform = (torch.arange(4000) + 0.5) / 4000
        # Kolmogorov-Smirnov at the 0.1 % level.
        assert (unit - uniform).abs().max() < 1.95 / math.sqrt(4000)


def test_same_seed_same_views() -> None:
    draws = [
        sample_views(2, ViewRanges(), generator=torch.Generator().manual_seed(seed)).c2w for seed in (7, 7, 8)
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_turntable() -> None:
    views = orbit_views(8, elevation=15, distance=distance_for(90, 0.9), fov=90)
    torch.testing.assert_close(views.azimuth, torch.arange(8) * 45.0)
    torch.testing.assert_close(views.c2w[:, :3, 3].norm(dim=1), torch.full((8,), 0.9))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fov", (50, 20)),
        ("fov", (0, 20)),
        ("fov", (20, 180)),
        ("elevation", (-91, 0)),
        ("relative_distance", (0, 1)),
    ],
)
def test_impossible_ranges_are_named(field: str, value: tuple[float, float]) -> None:
    with pytest.raises(UserError, match=field):
        ViewRanges(**{field: value})
