# SPDX-License-Identifier: GPL-3.0-or-later
import torch

from backend.radiance.occupancy import OccupancyGrid


def cell_of(grid: OccupancyGrid, *index: int) -> torch.Tensor:
    """Centre of a cell."""
    return ((torch.tensor(index) + 0.5) * (2 / grid.resolution) - 1) * grid.bound


def spike(at: torch.Tensor, reach: float, density: float = 100.0):
    return lambda x: density * ((x - at).abs().amax(-1) < reach).float()


def test_everything_is_occupied_before_the_first_look() -> None:
    grid = OccupancyGrid(resolution=4)
    assert grid.occupied(torch.tensor([[0.9, -0.9, 0.1]])).all()
    assert grid.fraction() == 1


def test_one_cell_and_its_rim(written_field) -> None:
    grid = OccupancyGrid(bound=2.0, resolution=8)
    grid.update(written_field(spike(cell_of(grid, 2, 5, 4), 0.1)))
    found = grid.mask.nonzero()
    assert len(found) == 27
    assert found.amin(0).tolist() == [1, 4, 3]
    assert found.amax(0).tolist() == [3, 6, 5]


def test_the_rim_does_not_wrap_at_the_border(written_field) -> None:
    grid = OccupancyGrid(resolution=8)
    grid.update(written_field(spike(cell_of(grid, 0, 7, 0), 0.05)))
    assert grid.mask.sum() == 8
    assert grid.mask[:2, 6:, :2].all()


def test_cells_above_the_threshold_are_occupied(written_field) -> None:
    # One dense cell keeps the mean above the threshold.
    grid = OccupancyGrid(resolution=8, threshold=0.04)
    faint, dense = cell_of(grid, 1, 1, 1), cell_of(grid, 6, 6, 6)
    for density, expected in ((0.039, False), (0.041, True)):
        grid.density.zero_()
        grid.update(written_field(lambda x, d=density: spike(faint, 0.1, d)(x) + spike(dense, 0.1, 1e3)(x)))
        assert grid.occupied(faint[None]).item() is expected
        assert grid.occupied(dense[None]).item()


def test_a_field_faint_everywhere_keeps_its_denser_part(written_field) -> None:
    grid = OccupancyGrid(resolution=16)
    grid.update(written_field(lambda x: 1e-4 * (1 + (x[:, 0] > 0).float())))
    assert grid.mask[8:].all()
    assert not grid.mask[:7].any()


def test_memory_fades(written_field) -> None:
    grid = OccupancyGrid(resolution=8, threshold=0.04, decay=0.5)
    keeper, fader = cell_of(grid, 1, 1, 1), cell_of(grid, 6, 6, 6)
    grid.update(written_field(lambda x: spike(keeper, 0.1)(x) + spike(fader, 0.1, 0.3)(x)))
    # 0.3 fades below the threshold of 0.04 after three halvings, not after two.
    for expected in (True, True, False):
        grid.update(written_field(spike(keeper, 0.1)))
        assert grid.occupied(fader[None]).item() is expected
        assert grid.occupied(keeper[None]).item()


def test_looks_lie_in_their_cells_and_are_seeded(written_field) -> None:
    looks = []

    def density_of(x: torch.Tensor) -> torch.Tensor:
        looks.append(x)
        return x.norm(dim=-1)

    for seed in (0, 0, 1):
        grid = OccupancyGrid(bound=3.0, resolution=6)
        grid.update(written_field(density_of), torch.Generator().manual_seed(seed))
    assert torch.equal(looks[0], looks[1])
    assert not torch.equal(looks[0], looks[2])
    cells = ((looks[0] / 3 + 1) * 3).floor().view(6, 6, 6, 3)
    assert cells[2, 3, 5].tolist() == [2, 3, 5]
    assert cells.view(-1, 3).unique(dim=0).shape[0] == 216


def test_along_rays_is_the_same_as_point_by_point(written_field, ball) -> None:
    generator = torch.Generator().manual_seed(0)
    grid = OccupancyGrid(bound=1.5, resolution=12)
    grid.update(written_field(ball(0.7, 50.0)))
    origins = (torch.rand(50, 3, generator=generator) - 0.5) * 0.5
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=1)
    t = torch.rand(50, 20, generator=generator)
    expected = grid.occupied(origins[:, None] + t[..., None] * directions[:, None])
    assert torch.equal(grid.occupied_along(origins, directions, t), expected)
    assert 0.1 < expected.float().mean() < 0.95


def test_outside_is_empty() -> None:
    x = torch.tensor([[1.01, 0, 0], [0, -1.01, 0], [0, 0, 5], [0.99, 0.99, -0.99]])
    assert OccupancyGrid().occupied(x).tolist() == [False, False, False, True]


def test_a_checkpoint_holds_its_state(written_field, ball) -> None:
    grid, other = OccupancyGrid(resolution=8), OccupancyGrid(resolution=8)
    grid.update(written_field(ball(0.4, 10.0)))
    other.load_state_dict(grid.state_dict())
    assert torch.equal(grid.mask, other.mask)
    assert torch.equal(grid.density, other.density)
