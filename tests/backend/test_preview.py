# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture beside a job."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from backend.preview import PASSING_SIZE, SIZE, write_preview
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import RadianceField
from backend.radiance.occupancy import OccupancyGrid


@pytest.mark.parametrize(("last", "size"), [(True, SIZE), (False, PASSING_SIZE)])
def test_a_ball_stands_before_grey(last: bool, size: int, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    field = RadianceField(DenseGrid((4, 8), generator=generator), 0.8, 8, generator=generator)
    write_preview(field, OccupancyGrid(0.8, 16), tmp_path / "preview.png", last)
    picture = Image.open(tmp_path / "preview.png")
    assert picture.size == (size, size)
    assert picture.getpixel((0, 0)) == (56, 56, 56)
    # A fresh field is a ball of middle grey.
    assert min(picture.getpixel((size // 2, size // 2))) > 90
    assert [each.name for each in tmp_path.iterdir()] == ["preview.png"]
