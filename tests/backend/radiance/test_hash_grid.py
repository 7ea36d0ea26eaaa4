# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
import torch

from backend.radiance.hash_grid import HashGrid, entry_index, grid_levels


def test_levels_by_hand() -> None:
    levels = grid_levels(levels=4, log2_size=14, base=16, per_level_scale=2.0)
    assert [level.scale for level in levels] == [15, 31, 63, 127]
    assert [level.resolution for level in levels] == [16, 32, 64, 128]
    assert [level.size for level in levels] == [4096, 16384, 16384, 16384]
    assert [level.offset for level in levels] == [0, 4096, 20480, 36864]
    assert [level.hashed for level in levels] == [False, True, True, True]


def test_sizes_are_rounded_up_to_eight_entries() -> None:
    # 3³ = 27 -> 32; scale 3 · 1.5 - 1 = 3.5 -> resolution 5, 125 -> 128.
    first, second = grid_levels(levels=2, log2_size=10, base=3, per_level_scale=1.5)
    assert (first.resolution, first.size) == (3, 32)
    assert (second.scale, second.resolution, second.offset, second.size) == (3.5, 5, 32, 128)


def test_a_level_that_just_fits_is_dense() -> None:
    # 32³ = 2^15 exactly.
    fits, does_not = (grid_levels(1, log2_size, 32, 2.0)[0] for log2_size in (15, 14))
    assert not fits.hashed
    assert does_not.hashed


def test_size_of_the_published_configuration() -> None:
    grid = HashGrid(16, 2, 19, 16, per_level_scale=1.447269237440378)
    # Five dense levels, 49³ = 117649 and 71³ = 357911 rounded up to a multiple of 8; then 11 of 2^19.
    assert [level.resolution for level in grid.levels[:5]] == [16, 24, 34, 49, 71]
    entries = 4096 + 13824 + 39304 + 117656 + 357912 + 11 * 2**19
    assert grid.table.numel() == 2 * entries == 12_599_920
    assert grid.output_dim == 32


def test_dense_index_by_hand() -> None:
    (level,) = grid_levels(1, 19, 16, 2.0)
    corners = torch.tensor([[0, 0, 0], [1, 2, 3], [15, 15, 15], [16, 15, 15]])
    # x + 16 y + 256 z; the last one is past the end and wraps to the start.
    assert entry_index(corners, level).tolist() == [0, 1 + 32 + 768, 4095, 0]


def test_hashed_index_by_hand() -> None:
    level = grid_levels(2, 14, 16, 2.0)[1]
    corners = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 2, 3]])
    # 2654435761 = 0x9E3779B1, 805459861 = 0x30025795; the low 14 bits of the xor.
    # 2 · 0x9E3779B1 = 0x13C6EF362, 3 · 0x30025795 = 0x900706BF; 1 ^ … -> 0x…F4DD ^ 1 … & 0x3FFF.
    expected = [0, 1, 0x39B1, 0x1795, (1 ^ 0x3362 ^ 0x06BF) & 0x3FFF]
    assert entry_index(corners, level).tolist() == expected


def test_products_beyond_32_bits_are_cut_to_32_bits() -> None:
    level = grid_levels(2, 24, 300, 20.0)[1]
    index = entry_index(torch.tensor([[4096, 4095, 4093]]), level)
    expected = (4096 ^ (4095 * 2654435761 % 2**32) ^ (4093 * 805459861 % 2**32)) % level.size
    assert index.item() == expected


def test_interpolation_by_hand() -> None:
    grid = HashGrid(levels=1, features=1, log2_size=10, base=2)  # scale 1, 2 nodes an axis, 8 entries
    with torch.no_grad():
        grid.table.copy_(torch.arange(8.0) ** 2)
    value = grid(torch.tensor([[0.5, 0.5, 0.5], [0.25, 0.5, 0.5], [0.5, 0.25, 0.0], [1.0, 0.5, 0.5]]))
    # Positions are x + 0.5: corner (1,1,1) = entry 7; 1/4 entry 6 + 3/4 entry 7;
    # (1, 0.75, 0.5): entries 1, 3, 5, 7 with 1/8, 3/8, 1/8, 3/8; x = 2 is entry 8, which wraps to entry 0.
    expected = [49, 0.25 * 36 + 0.75 * 49, (1 + 3 * 9 + 25 + 3 * 49) / 8, 0.5 * 49 + 0.5 * 0]
    torch.testing.assert_close(value[:, 0], torch.tensor(expected))


def test_features_lie_together_and_levels_follow_each_other() -> None:
    grid = HashGrid(levels=2, features=2, log2_size=4, base=2, per_level_scale=2.0)
    assert [level.offset for level in grid.levels] == [0, 8]
    with torch.no_grad():
        grid.table.copy_(torch.arange(float(grid.table.numel())))
    # Level 0: entry 7 = numbers 14, 15. Level 1: scale 3, position 2, 4³ > 16 so hashed:
    # 2 ^ 2 · …61 ^ 2 · …61 by their low four bits 2 ^ 0x2 ^ 0xA = 0xA; offset 8 + 10 = entry 18 = 36, 37.
    assert grid(torch.full((1, 3), 0.5)).tolist() == [[14, 15, 36, 37]]


def test_differentiable_twice() -> None:
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(3, 2, 6, 3, per_level_scale=1.7, init_scale=1.0, generator=generator).double()
    x = torch.rand(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)

    def features(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(grid, {"table": table}, (x,))

    arguments = x, grid.table.detach().requires_grad_()
    assert torch.autograd.gradcheck(features, arguments, eps=1e-7, fast_mode=True)
    assert torch.autograd.gradgradcheck(features, arguments, eps=1e-7, fast_mode=True)


@pytest.mark.parametrize("finest", [32, 512])
def test_finest_sets_the_last_level(finest: int) -> None:
    grid = HashGrid(levels=5, log2_size=10, base=8, finest=finest)
    assert grid.levels[0].resolution == 8
    assert grid.levels[-1].scale + 1 == pytest.approx(finest, rel=1e-5)
