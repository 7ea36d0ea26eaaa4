# SPDX-License-Identifier: GPL-3.0-or-later
"""The one kind of network here: few layers, all small."""

from __future__ import annotations

import itertools

import torch
from torch import nn


def small_mlp(
    inputs: int, hidden: int, outputs: int, generator: torch.Generator | None = None, hidden_layers: int = 1
) -> nn.Sequential:
    """inputs -> (hidden, ReLU) hidden_layers times -> outputs. Kaiming weights from `generator`, biases zero.

    Zero biases: features near zero give outputs near zero, so a fresh field is its initial blob, in grey.
    """
    widths = [inputs, *[hidden] * hidden_layers, outputs]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layer = nn.Linear(before, after)
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
