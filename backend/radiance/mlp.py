# SPDX-License-Identifier: GPL-3.0-or-later
"""The one kind of network here: a single hidden layer."""

from __future__ import annotations

import torch
from torch import nn


def small_mlp(
    inputs: int, hidden: int, outputs: int, generator: torch.Generator | None = None
) -> nn.Sequential:
    """inputs -> hidden, ReLU -> outputs. Kaiming weights drawn from `generator`, biases zero.

    Zero biases: features near zero give outputs near zero, so a fresh field is its initial blob, in grey.
    """
    layers = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])
