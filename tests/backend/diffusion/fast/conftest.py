# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the fast networks share."""

import copy
from typing import Any

import pytest

from backend.diffusion.model import MultiViewDiffusion


@pytest.fixture(params=["v21", "v15"])
def pair(request: Any, tiny: Any) -> tuple[MultiViewDiffusion, MultiViewDiffusion]:
    """A small random model, and its twin of fused modules."""
    stock = copy.deepcopy(tiny(request.param)).freeze()
    return stock, copy.deepcopy(stock).fuse()
