# SPDX-License-Identifier: GPL-3.0-or-later
"""The one kind of network here: few layers, all small."""

from __future__ import annotations

import itertools

import torch
from torch import nn


def small_mlp(
    inputs: int,
    hidden: int,
    outputs: int,
    generator: torch.Generator | None = None,
    hidden_layers: int = 1,
    bias: bool = True,
) -> nn.Sequential:
    """inputs -> (hidden, ReLU) hidden_layers times -> outputs, drawn from `generator`.

    With biases: Kaiming weights, biases zero. Without, as in MVDream's code: weights uniform within
    1 / sqrt(inputs of the layer). Either way features near zero give outputs near zero, so a fresh field is
    its initial blob, in grey.
    """
    widths = [inputs, *[hidden] * hidden_layers, outputs]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layer = nn.Linear(before, after, bias)
        if bias:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(layer.bias)
        else:
            nn.init.uniform_(layer.weight, -(before**-0.5), before**-0.5, generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
