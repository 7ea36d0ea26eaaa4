# SPDX-License-Identifier: GPL-3.0-or-later
"""Products of frozen weights on a processor in bfloat16: oneDNN's, with weights laid out once for all calls.

PyTorch's own modules have a weight laid out anew at each call, and what is added to a product is an operation
of its own. Where maps are small that takes as long as the product. Gradients there are none, and weights are
there twice: the network's stay as they were.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from backend.diffusion.fast.operations import wants_gradient

Pair = tuple[int, int]

_known: Any = WeakTensorKeyDictionary()
"""Of a weight by kind of product: what tells that it is still the same, and how oneDNN wants it."""


def serves(x: Tensor) -> bool:
    """Whether products of x, and of a weight of its type, are to be made here."""
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and not wants_gradient(x) and _is_there()


def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, plus: Tensor | None = None
) -> Tensor:
    """A convolution + bias + plus. x: (B, C, h, w), channels-last; plus: as the result, (B, C', h', w')."""

    def pack() -> Tensor:
        given = weight.detach().to_mkldnn(), padding, stride, (1, 1), 1, x.shape
        return torch.ops.aten.mkldnn_reorder_conv2d_weight(*given)

    given = bias, padding, stride, (1, 1), 1
    operations = torch.ops.mkldnn._convolution_pointwise
    packed = _packed(weight, (stride, padding), pack)
    if plus is None:
        return operations.default(x, packed, *given, "none", [], "")
    return operations.binary(x, plus, packed, *given, "add", 1.0, None, [], None)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    """x weight' + bias + plus. x: (…, F); weight: (F', F), or that of a 1 x 1 convolution; plus: (…, F')."""

    def pack() -> Tensor:
        return torch.ops.mkldnn._reorder_linear_weight(weight.detach().flatten(1), x.numel() // x.shape[-1])

    packed = _packed(weight, "linear", pack)
    if plus is None:
        return torch.ops.mkldnn._linear_pointwise.default(x, packed, bias, "none", [], "")
    return torch.ops.mkldnn._linear_pointwise.binary(x, plus, packed, bias, "add")


def _packed(weight: Tensor, kind: Any, pack: Callable[[], Tensor]) -> Tensor:
    """What was packed of that weight before, unless it was moved, cast or written to since.

    kind: what else the layout depends on. Who writes to `weight.data`, or to another tensor of the same
    storage, is not seen.
    """
    state = weight.data_ptr(), weight.dtype, weight._version
    kinds = _known.setdefault(weight, {})
    found = kinds.get(kind)
    if found is None or found[0] != state:
        found = kinds[kind] = state, pack()
    return found[1]


@functools.cache
def _is_there() -> bool:
    # No public names, but inductor calls them so since PyTorch 2.1. Where one is missing it goes without.
    of_mkldnn, of_aten = torch.ops.mkldnn, torch.ops.aten
    names = (
        "_convolution_pointwise",
        "_linear_pointwise",
        "_reorder_linear_weight",
        "_is_mkldnn_bf16_supported",
    )
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(of_aten, "mkldnn_reorder_conv2d_weight")
        and all(hasattr(of_mkldnn, name) for name in names)
        and of_mkldnn._is_mkldnn_bf16_supported()
    )
