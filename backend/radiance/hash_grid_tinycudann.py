# SPDX-License-Identifier: GPL-3.0-or-later
"""The hash grid through tinycudann, where somebody has built it: same table, same features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from backend.radiance.hash_grid import HashGrid


class TinyCudaEncoder:
    """Calls tinycudann's encoding with a HashGrid's own table, in half precision as tinycudann prefers it.

    Raises ImportError where tinycudann is missing, ValueError where its table has another size.
    """

    def __init__(self, grid: HashGrid) -> None:
        import tinycudann

        config = {
            "otype": "HashGrid",
            "n_levels": len(grid.levels),
            "n_features_per_level": grid.features,
            "log2_hashmap_size": grid.log2_size,
            "base_resolution": grid.base,
            "per_level_scale": grid.per_level_scale,
            "interpolation": "Linear",
        }
        self._encoding: Any = tinycudann.Encoding(3, config, dtype=torch.float16)
        own = self._encoding.params.numel()
        if own != grid.table.numel():
            raise ValueError(f"tinycudann's table has {own} numbers, this grid's {grid.table.numel()}")
        self._encoding.params = grid.table

    def __call__(self, x: Tensor) -> Tensor:
        """Features (N, levels * features) float32 of positions x (N,3) in 0..1."""
        features: Tensor = self._encoding(x)
        return features.float()
