# SPDX-License-Identifier: GPL-3.0-or-later
"""A field fitted to four pictures of a red box has the box's shape and colour."""

import pytest
import torch

from backend.cameras import orbit_views
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import DensityActivation, RadianceField
from backend.radiance.occupancy import OccupancyGrid
from backend.start.fitting import CutOuts, fit


def cut_outs() -> CutOuts:
    views = orbit_views(4, elevation=0.0, distance=4.0, fov=28.0)  # at the origin's depth -1 to 1
    alpha = torch.zeros(4, 16, 16)
    alpha[:, 4:12, 6:10] = 1  # half as high as the picture, a quarter as wide
    return CutOuts(views, torch.tensor((0.9, 0.1, 0.1)).expand(4, 16, 16, 3), alpha)


def fresh() -> RadianceField:
    start = torch.Generator().manual_seed(0)
    activation = DensityActivation(40.0, blob_radius=0.35)
    return RadianceField(DenseGrid((4, 8, 16), generator=start), 0.8, 16, activation, start)


def fitted() -> RadianceField:
    field = fresh()
    fit(field, OccupancyGrid(0.8, 24), cut_outs(), 30, 45, 24, torch.Generator().manual_seed(1))
    return field


def test_the_field_takes_the_shape_and_the_colour_of_the_pictures() -> None:
    field = fitted()
    with torch.no_grad():
        # the first three in the box, the second at a place the blob did not reach; the others beside it
        points = [(0.0, 0, 0), (0, 0, 0.4), (0.1, -0.1, -0.4), (0.45, 0, 0), (0, -0.5, 0.2), (0, 0, 0.7)]
        density = field.density(torch.tensor(points))
        assert density[:3].min() > 10 > 5 > density[3:].max()
        torch.testing.assert_close(
            field.colour(torch.tensor([(0.15, -0.15, 0.0)])),
            torch.tensor([(0.9, 0.1, 0.1)]),
            atol=0.25,
            rtol=0,
        )


def test_a_generators_seed_decides() -> None:
    one, other = (torch.cat([p.flatten() for p in fitted().parameters()]) for _ in range(2))
    assert torch.equal(one, other)


def test_the_finest_level_joins_late() -> None:
    field = fresh()
    coarse, *_, fine = field.encoding.levels
    before = [coarse.detach().clone(), fine.detach().clone()]
    moved: list[tuple[bool, bool]] = []

    def look(done: int) -> None:
        moved.append(tuple(not torch.equal(*pair) for pair in zip((coarse, fine), before, strict=True)))

    threads = torch.get_num_threads()
    fit(field, OccupancyGrid(0.8, 24), cut_outs(), 2, 6, 24, torch.Generator().manual_seed(1), look)
    assert torch.get_num_threads() == threads
    assert moved == [(True, False)] * 4 + [(True, True)] * 2


def test_one_that_is_ended_early_leaves_every_level_free() -> None:
    field = fresh()

    def end(done: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(field, OccupancyGrid(0.8, 24), cut_outs(), 1, 6, 24, torch.Generator().manual_seed(1), end)
    assert all(parameter.requires_grad for parameter in field.parameters())
