# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the Triton kernels are to be trusted on a card: tried once, against plain PyTorch."""

from __future__ import annotations

import functools
import itertools
import logging

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.kernel_switch import kernels_allowed
from backend.kernel_trial import ends_well, side_by_side

log = logging.getLogger(__name__)


def triton_serves(x: Tensor) -> bool:
    """Whether x is on a GPU where the kernels work for its type."""
    return x.is_cuda and triton_works(x.device, x.dtype)


def triton_works(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the kernels work on a CUDA device for a type.

    Raises UserError where they crashed, for then nothing else works on that GPU either.
    """
    return kernels_allowed() and _works_on(device.index or 0, dtype)


@functools.cache
def _works_on(device: int, dtype: torch.dtype) -> bool:
    return ends_well(
        lambda: _agrees(device, dtype),
        "Triton can't be used (%s); the networks run on plain PyTorch, more slowly.",
    )


@torch.no_grad()
def _agrees(device: int, dtype: torch.dtype) -> bool:
    """Each kernel on small maps, against float32 PyTorch on the same numbers."""
    most = 1e-4 if dtype == torch.float32 else 2e-2
    with torch.cuda.device(device):
        agree = all(float(error) <= most for error in errors(torch.device("cuda", device), dtype))
    if not agree:
        log.warning("Triton computes something else than PyTorch here; the networks do without it.")
    return agree


def errors(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Relative errors: norm, its gradient, bias and residual, upsampling, convolution; kernels for tokens."""
    trial = _Trial(device, dtype)
    norms = [functools.partial(trial.norm_errors, *each) for each in ((40, 4), (64, 32))]
    maps = [functools.partial(trial.map_errors, channels) for channels in (40, 64)]
    found = side_by_side([*norms, *maps, trial.conv_errors, trial.token_errors])
    return list(itertools.chain(*found))


class _Trial:
    """Small maps and tokens of a type on a device, and what the kernels make of them."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype

    def _numbers(self, *shapes: tuple[int, ...], seed: int = 0) -> list[Tensor]:
        """Random ones, the same for a seed."""
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(shape, generator=generator).to(self._device, self._dtype) for shape in shapes]

    def _maps(self, channels: int, count: int) -> list[Tensor]:
        drawn = self._numbers(*[(2, channels, 7, 9)] * count)
        return [each.contiguous(memory_format=torch.channels_last) for each in drawn]

    def norm_errors(self, channels: int, groups: int) -> list[Tensor]:
        from backend.diffusion.fast import launching

        x, dy, beside = self._maps(channels, 3)
        bias, weight, shift = self._numbers((2, channels), (channels,), (channels,), seed=1)
        with torch.enable_grad():
            # Leaves: the caller may be inside a graph of its own.
            exact = x.detach().float().requires_grad_()
            moved = exact + bias.float()[:, :, None, None]
            wanted = F.silu(F.group_norm(moved, groups, weight.float(), shift.float(), 1e-5))
            (slope,) = torch.autograd.grad(wanted, exact, dy.float())
        found = []
        for whole in (True, False):
            y, factors, moments = launching.normalize(x, bias, groups, weight, shift, 1e-5, True, whole)
            dx = launching.normalize_back(x, dy, beside, bias, weight, factors, moments, True)
            found += [_error(y, wanted.detach()), _error(dx, slope + beside.float())]
        return found

    def map_errors(self, channels: int) -> list[Tensor]:
        from backend.diffusion.fast import launching

        x, dy = self._maps(channels, 2)
        (shift,) = self._numbers((channels,), seed=1)
        moved = x.float() + shift.float()[:, None, None] + dy.float()
        y, sums = launching.add_bias_and_sum(x, shift, dy)
        larger = F.interpolate(x.float(), scale_factor=2.0, mode="nearest")
        return [
            _error(launching.add_bias(x, shift, dy), moved),
            *(_error(y, moved), _sum_error(sums, y)),
            _error(launching.upsample(x), larger),
        ]

    def conv_errors(self) -> list[Tensor]:
        from backend.diffusion.fast import launching

        (x,), (weight,) = self._maps(3, 1), self._numbers((64, 3, 3, 3), seed=1)
        weight = weight.contiguous(memory_format=torch.channels_last)
        y, sums = launching.first_conv(x, weight, weight.new_zeros(64))
        # In double precision: of float32, PyTorch's own may have no more digits than TensorFloat-32.
        return [_error(y, F.conv2d(x.double(), weight.double(), padding=1)), _sum_error(sums, y)]

    def token_errors(self) -> list[Tensor]:
        """Of the kernels for tokens: residual and LayerNorm, GEGLU."""
        from backend.diffusion.fast import launching

        x, h, bias, later, weight, shift, wide = self._numbers(*[(5, 320)] * 2, *[(320,)] * 4, (5, 96))
        total = x.float() + h.float() + bias.float()
        tokens, y = launching.add_layer_norm(x, h, bias, later, weight, shift, 1e-5)
        found = [_error(tokens, total + later.float())]
        for normed, given in ((y, total), (launching.layer_norm(x, weight, shift, 1e-5), x.float())):
            found.append(_error(normed, F.layer_norm(given, (320,), weight.float(), shift.float(), 1e-5)))
        value, gate = wide.float().chunk(2, -1)
        return [*found, _error(launching.geglu(wide), value * F.gelu(gate))]


def _sum_error(sums: Tensor, y: Tensor) -> Tensor:
    """Of the sums of a map and of its squares."""
    y = y.float().flatten(2)
    return _error(sums.sum(1), torch.stack((y.sum(-1), y.square().sum(-1)), 1))


def _error(found: Tensor, expected: Tensor) -> Tensor:
    return (found.float() - expected).norm() / expected.norm()
