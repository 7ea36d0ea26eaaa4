# SPDX-License-Identifier: GPL-3.0-or-later
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.fast import processor_norm
from backend.diffusion.fast.operations import fork_norm, norm


def make_norm(channels: int, groups: int = 16) -> nn.GroupNorm:
    module = nn.GroupNorm(groups, channels, eps=1e-5).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    module.weight.copy_(torch.rand(channels, generator=generator) + 0.5)
    module.bias.copy_(torch.randn(channels, generator=generator))
    return module


def make_map(channels: int, side: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    # Channels with means of their own, far from zero for their spread.
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3, channels, side, side, generator=generator)
    x = x + 4 * torch.randn(1, channels, 1, 1, generator=generator)
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Maps that `normalize` was given."""
    given: list[Tensor] = []
    real = processor_norm.normalize

    def note(x: Tensor, *others: Any) -> Tensor:
        given.append(x)
        return real(x, *others)

    monkeypatch.setattr(processor_norm, "normalize", note)
    return given


@pytest.mark.parametrize("act", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize(("channels", "groups"), [(64, 16), (160, 16), (12, 4), (9, 1)])
def test_the_numbers_are_those_of_pytorch(channels: int, groups: int, rows: int, act: bool) -> None:
    x, module = make_map(channels), make_norm(channels, groups)
    bias = torch.randn(rows, channels, generator=torch.Generator().manual_seed(3)) if rows else None
    moved = x if bias is None else x + bias[:, :, None, None]
    expected = F.group_norm(moved, groups, module.weight, module.bias, module.eps)
    found = processor_norm.normalize(x, module, act, bias)
    torch.testing.assert_close(found, F.silu(expected) if act else expected, atol=2e-5, rtol=1e-4)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_a_bias_may_take_the_mean_away() -> None:
    x, module = make_map(64), make_norm(64)
    bias = -20 - torch.arange(64)[None]
    expected = F.group_norm(x, 16, module.weight, module.bias, module.eps)
    found = processor_norm.normalize(x - bias[:, :, None, None], module, False, bias)
    # One sum of squares of a map with mean 83 and deviation 1 is exact to 83^2 * 2^-23 of the variance.
    torch.testing.assert_close(found, expected, atol=3e-3, rtol=0)


def test_half_precision_is_rounded_once_at_the_end() -> None:
    x, module = make_map(64, dtype=torch.bfloat16), make_norm(64).to(torch.bfloat16)
    exact = F.group_norm(x.double(), 16, module.weight.double(), module.bias.double(), module.eps)
    found = processor_norm.normalize(x, module, True)
    assert found.dtype == torch.bfloat16
    # Hardly a number lies so near to the middle of two that float32 picks the other one.
    assert (found != F.silu(exact).to(torch.bfloat16)).float().mean() < 1e-3


@pytest.mark.parametrize("level", [0.0, 3.0, 1234.5])
def test_a_flat_map_stays_finite(level: float) -> None:
    x = torch.full((2, 64, 8, 8), level).contiguous(memory_format=torch.channels_last)
    assert processor_norm.normalize(x, make_norm(64), False).isfinite().all()


@pytest.mark.parametrize(
    ("x", "wide", "served"),
    [
        (make_map(64), True, True),  # 4 channels a group
        (make_map(64), False, False),
        (make_map(64, dtype=torch.bfloat16), False, True),
        (make_map(128), True, False),  # 8 of four bytes fill a vector
        (make_map(128, dtype=torch.bfloat16), False, True),
        (make_map(960, dtype=torch.bfloat16), True, True),  # 60
        (make_map(960), True, False),
        (make_map(64, side=4), True, False),
        (make_map(64, side=32), True, False),
        (make_map(64).contiguous(), True, False),
        (make_map(64, dtype=torch.float64), True, False),
    ],
)
def test_only_what_is_faster_so_is_computed_so(
    calls: list[Tensor], monkeypatch: pytest.MonkeyPatch, x: Tensor, wide: bool, served: bool
) -> None:
    monkeypatch.setattr(processor_norm, "_has_wide_vectors", lambda: wide)
    norm(x, make_norm(x.shape[1]).to(x.dtype), act=True)
    assert bool(calls) == served


def test_a_map_that_wants_a_gradient_gets_one(calls: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_norm, "_has_wide_vectors", lambda: True)
    x, module = make_map(64).requires_grad_(), make_norm(64)
    y, beside = fork_norm(x, module, act=True)
    assert y.requires_grad
    assert not calls
    assert beside is x
