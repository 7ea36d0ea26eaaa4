# SPDX-License-Identifier: GPL-3.0-or-later
"""Floating point operations by what PyTorch was asked for, not by what a device did."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class CountedFlops(TorchDispatchMode):
    """Counts matrix products, convolutions and attention (a multiplication and an addition are two).

    PyTorch's own FlopCounterMode also files them by module, and for that hooks into backward passes: it fails
    on `torch.autograd.grad` inside of one. Our own kernels are not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Counts one operation, and does it."""
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out
