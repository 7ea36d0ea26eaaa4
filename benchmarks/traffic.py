# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that matrix products, convolutions and attention must move, beside what they must compute."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks.counted import CountedFlops


class CountedWork(CountedFlops):
    """Counts operations, and for each kernel that does some the bytes of its inputs and outputs, once each.

    All that stands between these kernels is taken as fused into them for nothing. Their bytes may come from a
    cache: where maps are smaller than a GPU's (50 MB on an H100), less than this comes from memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.works: list[tuple[int, int]] = []
        """(FLOP, bytes) of each."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Counts one operation, and does it."""
        before = self.total
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if self.total > before:
            read = list(args)
            if func.overloadpacket is torch.ops.aten.convolution_backward and not args[-1][1]:
                read[1] = None  # only a weight's gradient reads the input
            moved = [x for x in tree_leaves((read, kwargs, out)) if isinstance(x, Tensor)]
            self.works.append((self.total - before, sum(_bytes(x) for x in moved)))
        return out

    def seconds(self, flops: float, bandwidth: float) -> float:
        """Of all in turn, each as long as its operations or its bytes take. flops, bandwidth: a second."""
        return sum(max(work / flops, moved / bandwidth) for work, moved in self.works)


def _bytes(x: Tensor) -> int:
    # An expanded tensor is no larger than what is stored of it.
    return min(x.numel() * x.element_size(), x.untyped_storage().nbytes())
