# SPDX-License-Identifier: GPL-3.0-or-later
import torch

from backend.cameras import ViewRanges, rays, sample_views
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import RadianceField
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendering import render


def test_a_field_learns_an_object_from_its_pictures(written_field) -> None:
    # A flat box, red on the right and blue on the left.
    half = torch.tensor([0.5, 0.25, 0.35])
    red, blue = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9])
    target = written_field(
        lambda x: 100.0 * (x.abs() < half).all(1).float(),
        lambda x: torch.where(x[:, :1] > 0, red, blue),
    )
    generator = torch.Generator().manual_seed(0)
    field = RadianceField(DenseGrid((8, 16), generator=generator), generator=generator)
    occupancy = OccupancyGrid(resolution=24)
    optimiser = torch.optim.Adam(
        [
            {"params": field.encoding.parameters(), "lr": 0.05},
            {"params": [*field.density_net.parameters(), *field.colour_net.parameters()], "lr": 0.01},
        ],
        betas=(0.9, 0.99),
    )

    def pictures() -> tuple[torch.Tensor, ...]:
        views = sample_views(1, ViewRanges(fov=(40, 50)), generator=generator)
        origins, directions = (part.reshape(-1, 3) for part in rays(views.c2w, views.fov, 16, 16))
        background = torch.rand(3, generator=generator)
        with torch.no_grad():
            truth = render(target, None, origins, directions, background, samples=48)
        seen = render(
            field,
            occupancy,
            origins,
            directions,
            background,
            samples=24,
            jitter=torch.rand(len(origins), generator=generator),
        )
        return seen.rgb, truth.rgb, seen.opacity, truth.opacity

    for step in range(60):
        if step % 16 == 0:
            occupancy.update(field, generator)
        rgb, true_rgb, _, _ = pictures()
        optimiser.zero_grad()
        (rgb - true_rgb).square().mean().backward()
        optimiser.step()

    with torch.no_grad():
        rgb, true_rgb, opacity, true_opacity = pictures()
    solid, true_solid = opacity > 0.5, true_opacity > 0.5
    assert (solid & true_solid).sum() / (solid | true_solid).sum() > 0.85
    assert (rgb - true_rgb)[solid & true_solid].abs().mean() < 0.15
    assert occupancy.fraction() < 0.3
