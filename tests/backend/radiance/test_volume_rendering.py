# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
import torch

from backend.cameras import orbit_views, rays
from backend.radiance.compositing import volume_weights
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import RadianceField
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendering import march, render


def ray(origin: tuple[float, ...], direction: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([origin]).float(), torch.nn.functional.normalize(
        torch.tensor([direction]).float(), dim=1
    )


def camera_rays(size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    views = orbit_views(2, elevation=20, distance=2.2, fov=45)
    origins, directions = rays(views.c2w, views.fov, size, size)
    return origins.reshape(-1, 3), directions.reshape(-1, 3)


def grown_field(seed: int = 0) -> RadianceField:
    """Densities and colours that vary from place to place."""
    generator = torch.Generator().manual_seed(seed)
    return RadianceField(DenseGrid((4, 8), init_scale=2.0, generator=generator), generator=generator)


def test_a_constant_ball_follows_beer_and_lambert(written_field) -> None:
    field = written_field(lambda x: torch.full_like(x[:, 0], 0.7))
    through_centre = render(field, None, *ray((0, -3, 0), (0, 1, 0)), samples=16)
    assert through_centre.samples == 16
    assert through_centre.opacity.item() == pytest.approx(1 - math.exp(-1.4), rel=1e-5)
    # A chord 0.6 off the centre has a length of 1.6.
    aside = render(field, None, *ray((0.6, -3, 0), (0, 1, 0)), samples=400)
    assert aside.opacity.item() == pytest.approx(1 - math.exp(-0.7 * 1.6), abs=3e-3)


def test_samples_start_where_the_ray_enters_the_sphere() -> None:
    found = march(1.0, None, *ray((0, -3, 0), (0, 1, 0)), samples=4, jitter=None)
    torch.testing.assert_close(found.t, torch.tensor([[2.25, 2.75, 3.25, 3.75]]))
    assert found.length == 0.5
    torch.testing.assert_close(found.points[:, 1], torch.tensor([-0.75, -0.25, 0.25, 0.75]))


def test_a_camera_inside_the_sphere_sees_only_what_is_in_front() -> None:
    found = march(1.0, None, *ray((0, 0.5, 0), (0, 1, 0)), samples=8, jitter=None)
    torch.testing.assert_close(found.points[:, 1], torch.tensor([0.625, 0.875]))


@pytest.mark.parametrize("direction", [(1, 0, 0), (0, -1, 0)])
def test_a_ray_that_misses_sees_the_background(written_field, direction: tuple[float, ...]) -> None:
    field = written_field(lambda x: torch.full_like(x[:, 0], 50.0))
    result = render(field, None, *ray((0, -3, 0), direction), torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(result.rgb, torch.tensor([[0.1, 0.2, 0.3]]))
    assert result.opacity.item() == result.depth.item() == result.samples.item() == 0


def test_nothing_to_render_still_has_a_backward_pass() -> None:
    field, background = grown_field(), torch.full((1, 3), 0.5, requires_grad=True)
    result = render(field, None, *ray((0, -3, 0), (1, 0, 0)), background)
    result.rgb.sum().backward()
    assert background.grad.tolist() == [[1, 1, 1]]


def test_an_opaque_ball_shows_its_surface(written_field, ball) -> None:
    field = written_field(
        ball(0.5, 1e4), lambda x: torch.stack((x[:, 0] + 0.5, x[:, 1] + 0.5, x[:, 2] + 0.5), 1)
    )
    result = render(field, None, *ray((0.2, -3, 0.1), (0, 1, 0)), torch.ones(3), samples=1000)
    surface = -math.sqrt(0.25 - 0.04 - 0.01)
    assert result.opacity.item() == pytest.approx(1)
    assert result.depth.item() == pytest.approx(3 + surface, abs=2e-3)
    torch.testing.assert_close(result.rgb, torch.tensor([[0.7, surface + 0.5, 0.6]]), atol=2e-3, rtol=0)


def test_packed_is_the_same_as_the_sum_over_all_samples() -> None:
    field, (origins, directions) = grown_field(), camera_rays()
    background = torch.rand(len(origins), 3, generator=torch.Generator().manual_seed(2))
    result = render(field, None, origins, directions, background, samples=20, early_stop=0)

    found = march(1.0, None, origins, directions, 20, None)
    everywhere = origins[:, None] + found.t[..., None] * directions[:, None]
    density, colour = field(everywhere.view(-1, 3))
    weights = volume_weights(density.view(-1, 20) * found.keep, 0.1)
    opacity = weights.sum(1)
    rgb = (weights[..., None] * colour.view(-1, 20, 3)).sum(1) + (1 - opacity[:, None]) * background
    torch.testing.assert_close(result.rgb, rgb)
    torch.testing.assert_close(result.opacity, opacity)
    torch.testing.assert_close(result.depth, (weights * found.t).sum(1))

    probe = torch.randn(rgb.shape, generator=torch.Generator().manual_seed(3))
    parameters = list(field.parameters())
    packed_gradients = torch.autograd.grad((result.rgb * probe).sum(), parameters)
    dense_gradients = torch.autograd.grad((rgb * probe).sum(), parameters)
    for packed, dense in zip(packed_gradients, dense_gradients, strict=True):
        torch.testing.assert_close(packed, dense, atol=1e-4, rtol=1e-4)


def test_per_sample_results_belong_to_their_rays() -> None:
    field, (origins, directions) = grown_field(), camera_rays()
    result = render(field, None, origins, directions, samples=24)
    assert result.samples == len(result.weights) == len(result.density) == len(result.ray)
    assert (result.ray.diff() >= 0).all()
    torch.testing.assert_close(
        torch.zeros(len(origins)).index_add(0, result.ray, result.weights), result.opacity
    )


def test_early_stop_drops_what_cannot_be_seen_and_changes_nothing(written_field, ball) -> None:
    origins, directions = camera_rays()
    field = written_field(ball(0.6, 200.0), lambda x: (x + 1) / 2)
    all_samples, few = (
        render(field, None, origins, directions, samples=60, early_stop=limit) for limit in (0, 1e-4)
    )
    assert few.samples < 0.75 * all_samples.samples
    torch.testing.assert_close(few.rgb, all_samples.rgb, atol=2e-4, rtol=0)
    torch.testing.assert_close(few.depth, all_samples.depth, atol=1e-3, rtol=0)


def test_early_stop_keeps_the_gradients(written_field) -> None:
    origins, directions = camera_rays()
    scale = torch.tensor(150.0, requires_grad=True)
    field = written_field(lambda x: scale * (0.6 - x.norm(dim=1)).clamp_min(0), lambda x: (x + 1) / 2)
    gradients = [
        torch.autograd.grad(
            render(field, None, origins, directions, samples=60, early_stop=limit).rgb.square().sum(), scale
        )[0]
        for limit in (0, 1e-4)
    ]
    assert gradients[0] != 0
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-2, atol=0)


def test_skipping_empty_space_changes_nothing(written_field, ball) -> None:
    origins, directions = camera_rays()
    asked = []

    def density_of(x: torch.Tensor) -> torch.Tensor:
        asked.append(len(x))
        return ball(0.4, 30.0)(x)

    field = written_field(density_of, lambda x: (x + 1) / 2)
    occupancy = OccupancyGrid(resolution=24)
    occupancy.update(field)
    asked.clear()
    everything = render(field, None, origins, directions, torch.zeros(3), samples=48)
    all_asked = asked[0]
    asked.clear()
    skipped = render(field, occupancy, origins, directions, torch.zeros(3), samples=48)
    assert asked[0] < 0.4 * all_asked
    torch.testing.assert_close(skipped.rgb, everything.rgb)
    torch.testing.assert_close(skipped.opacity, everything.opacity)


def test_jitter_is_the_place_in_the_bin() -> None:
    origins, directions = (part.expand(3, 3) for part in ray((0, -3, 0), (0, 1, 0)))
    t = march(1.0, None, origins, directions, 4, torch.tensor([0.0, 0.25, 1.0])).t
    # The sphere begins at distance 2, and 4 bins across it are half a unit long.
    assert torch.allclose(t[:, 0], torch.tensor([2.0, 2.125, 2.5]))
    assert torch.allclose(t.diff(dim=1), torch.tensor(0.5))


def test_gradients_against_finite_differences(written_field) -> None:
    origins, directions = (part.double() for part in camera_rays(3))
    background = torch.rand(len(origins), 3, dtype=torch.float64, requires_grad=True)

    def image(strength: torch.Tensor, tint: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
        field = written_field(
            lambda x: strength * torch.exp(-4 * x.square().sum(1)), lambda x: torch.sigmoid(x * tint)
        )
        result = render(field, None, origins, directions, background, samples=12)
        return torch.cat((result.rgb, result.opacity[:, None], result.depth[:, None]), 1)

    strength = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    tint = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(image, (strength, tint, background), fast_mode=True)
