# SPDX-License-Identifier: GPL-3.0-or-later
"""Exponential moving average of weights: what is saved and sampled from."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class MovingAverage:
    """Keeps `averaged` at avg = d avg + (1 - d) weight, with d = min(decay, (1 + step) / (10 + step)).

    The early, smaller d lets the average forget the random start. d lives in a tensor on the weights' device,
    so that a captured CUDA graph follows it.

    Args:
        trained: modules that the optimizer changes.
        averaged: copies of them, by the same names; changed in place.
        decay: d after the start, 0..1.
    """

    def __init__(
        self, trained: Mapping[str, nn.Module], averaged: Mapping[str, nn.Module], decay: float
    ) -> None:
        self.decay = decay
        self._weights = [weight.detach() for module in trained.values() for weight in module.parameters()]
        self._averages = [
            weight.detach()
            for name in trained
            for weight in averaged[name].requires_grad_(False).parameters()
        ]
        device = self._weights[0].device
        self._keep = torch.zeros((), device=device)
        self._take = torch.ones((), device=device)

    def set_step(self, step: int) -> None:
        """Sets d for an update after `step` finished steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        self._keep.fill_(decay)
        self._take.fill_(1 - decay)

    @torch.no_grad()
    def update(self) -> None:
        """Moves the averages towards the weights; no host synchronisation."""
        shares: tuple[Tensor, ...] | list[Tensor] = torch._foreach_mul(self._weights, self._take)
        torch._foreach_mul_(self._averages, self._keep)
        torch._foreach_add_(self._averages, shares)
