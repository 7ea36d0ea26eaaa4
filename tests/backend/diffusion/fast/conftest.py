# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the fast networks share."""

import copy
from typing import Any

import pytest

from backend.diffusion.fast.fusing import fuse
from backend.diffusion.model import MultiViewDiffusion


@pytest.fixture(params=["v21", "v15"])
def pair(request: Any, tiny: Any) -> tuple[MultiViewDiffusion, MultiViewDiffusion]:
    """A small random model, and its twin of fused modules."""
    stock = copy.deepcopy(tiny(request.param)).freeze()
    fast = copy.deepcopy(stock)
    for part in (fast.unet, fast.vae):
        assert part is not None
        assert fuse(part) > 0
    return stock, fast
