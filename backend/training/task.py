# SPDX-License-Identifier: GPL-3.0-or-later
"""What the training loop needs to know of a network that it trains."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Task(ABC):
    """One training problem.

    Args:
        trained: modules that are trained, by name.
        averaged: copies that hold the moving average, by the same names.
        device: where everything lies.
    """

    trained: dict[str, nn.Module]
    averaged: dict[str, nn.Module]
    device: torch.device
    variants: tuple[str, ...] = ("only",)

    def variant(self, step: int) -> str:
        """Which kind of step number `step` is; a CUDA graph is captured for each kind."""
        return self.variants[0]

    def prepare(self, step: int) -> None:
        """Work between steps. Depends on nothing but the step, so that resume is exact."""
        return

    @abstractmethod
    def loss(self, variant: str) -> Tensor:
        """Draws a batch and returns its scalar loss.

        Draws only from the device's default generator and never synchronises with the host, because the
        whole of it is captured in a CUDA graph.
        """

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures of the averaged weights on held-back objects; leaves the default generators alone."""

    @abstractmethod
    def compile(self, enabled: bool) -> None:
        """Switches torch.compile of the expensive modules on or off."""

    def autocast(self) -> torch.autocast:
        """bfloat16 on CUDA, plain float32 elsewhere."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


def compile_module(module: nn.Module, enabled: bool) -> None:
    """Compiles a module's forward in place, or undoes it; parameters and their names stay."""
    if enabled:
        module.compile(dynamic=False)
    else:
        module._compiled_call_impl = None
