# SPDX-License-Identifier: GPL-3.0-or-later
"""Several linear layers of one input as one matrix product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Joined:
    """The layers' parameters become views of one tensor: names stay, and nothing is stored twice."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self._layers = tuple(layers)
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """(…, F) -> the output of each layer, views of one tensor."""
        if self._weight is None or any(
            layer.weight.data_ptr() != part.data_ptr()
            for layer, part in zip(self._layers, self._split(self._weight), strict=True)
        ):
            self._join()
        assert self._weight is not None
        return F.linear(x, self._weight, self._bias).split(self._widths, -1)

    @property
    def _widths(self) -> list[int]:
        return [layer.out_features for layer in self._layers]

    def _split(self, joined: Tensor) -> tuple[Tensor, ...]:
        return joined.split(self._widths)

    @torch.no_grad()
    def _join(self) -> None:
        """At the first call, and after the layers were moved or cast."""
        self._weight = torch.cat([layer.weight for layer in self._layers])
        for layer, part in zip(self._layers, self._split(self._weight), strict=True):
            layer.weight.data = part
        if self._layers[0].bias is not None:
            self._bias = torch.cat([layer.bias for layer in self._layers])
            for layer, part in zip(self._layers, self._split(self._bias), strict=True):
                layer.bias.data = part
