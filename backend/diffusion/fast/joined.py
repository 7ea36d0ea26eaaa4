# SPDX-License-Identifier: GPL-3.0-or-later
"""Several linear layers of one input as one matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backend.diffusion.fast import packed
from backend.diffusion.fast.products import linear


class Joined:
    """The layers' parameters become views of one tensor: names stay, and nothing is stored twice."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self._layers = tuple(layers)
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None
        self._versions: list[int] = []

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """(…, F) -> the output of each layer, views of one tensor."""
        return self.split(self.product(x))

    def split(self, y: Tensor) -> tuple[Tensor, ...]:
        """The parts of `product`, or of another tensor with its last dimension, that belong to each layer."""
        return y.split(self._widths, -1)

    def product(self, x: Tensor) -> Tensor:
        """(…, F) -> the outputs of all layers, one after another."""
        if self._weight is None or any(
            layer.weight.data_ptr() != part.data_ptr()
            for layer, part in zip(self._layers, self._split(self._weight), strict=True)
        ):
            self._join()
        assert self._weight is not None
        if packed.serves(x):
            versions = [layer.weight._version for layer in self._layers]
            if versions != self._versions:
                # Another tensor of the same numbers: what was packed of the old one is not found any more.
                self._weight, self._versions = self._weight.detach(), versions
        return linear(x, self._weight, self._bias)

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


class Shared:
    """Layers all over a network that see the same tensor: one product, made when the first of them asks.

    It is forgotten when a forward pass of `network` begins and ends, so that none is ever made of an older
    input: a CUDA graph's inputs are the same tensors at each replay, with other numbers in them.
    """

    def __init__(self, network: nn.Module, layers: Sequence[nn.Linear]) -> None:
        self.joined = Joined(layers)
        self._input: Tensor | None = None
        self._outputs: tuple[Tensor, ...] = ()
        # Bound methods: a copy of the network gets a copy of this object.
        network.register_forward_pre_hook(self._forget)
        network.register_forward_hook(self._forget, always_call=True)

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """The output of each layer."""
        if x is not self._input:
            self._input, self._outputs = x, self.outputs(x)
        return self._outputs

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """What is shared."""
        return self.joined(x)

    def _forget(self, *_: Any) -> None:
        self._input, self._outputs = None, ()
