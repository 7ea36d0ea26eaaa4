# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from backend.errors import UserError
from backend.mesh.threshold import find_threshold


def test_hard_field_takes_the_geometric_middle_of_the_levels_that_fit():
    density = np.zeros((20, 20, 20), dtype=np.float32)
    density[5:15, 5:15, 5:15] = 1000.0
    # Every candidate from 1 to 950 gives the same solid.
    assert find_threshold(density, 0.1) == pytest.approx((1.0 * 950) ** 0.5, rel=1e-3)


def test_level_lies_between_an_opaque_core_and_a_transparent_coat():
    density = np.zeros((24, 24, 24), dtype=np.float32)
    density[4:20, 4:20, 4:20] = 0.3  # 16 cells of 0.05: 21 % opaque
    density[8:16, 8:16, 8:16] = 60.0
    assert 0.3 <= find_threshold(density, 0.05) < 60


def test_coat_that_is_opaque_belongs_to_the_object():
    density = np.zeros((24, 24, 24), dtype=np.float32)
    density[4:20, 4:20, 4:20] = 6.0  # 16 cells of 0.05: 99 % opaque
    density[8:16, 8:16, 8:16] = 60.0
    assert find_threshold(density, 0.05) < 6


def test_level_scales_with_the_field():
    # The same opacities in a world ten times as large need a tenth of the density.
    rng = np.random.default_rng(0)
    density = 50 * rng.random((16, 16, 16)) ** 4
    assert find_threshold(density / 10, 1.0) == pytest.approx(find_threshold(density, 0.1) / 10)


def test_faint_field_is_empty():
    with pytest.raises(UserError, match="empty"):
        find_threshold(np.full((8, 8, 8), 0.01), 0.1)
