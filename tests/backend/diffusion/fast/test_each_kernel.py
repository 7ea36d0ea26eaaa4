# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kernel alone against plain PyTorch: on a card, or without one in Triton's interpreter.

The latter where Triton is installed and TRITON_INTERPRET=1 says so.
"""

import os

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

pytestmark = pytest.mark.gpu

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
LIMITS = {torch.float32: 1e-5, torch.bfloat16: 6e-3, torch.float16: 1e-3}
"""Relative, of the norms of whole tensors: half a unit in the last place at most, and what float32 loses."""


@pytest.fixture(autouse=True)
def needs_triton() -> None:
    pytest.importorskip("triton")
    if not CUDA and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("needs a CUDA device, or Triton's interpreter (TRITON_INTERPRET=1)")


@pytest.fixture(params=[torch.float32, torch.bfloat16] + ([torch.float16] if CUDA else []), ids=str)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    found: torch.dtype = request.param
    return found


def random(dtype: torch.dtype, *shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(shape, generator=generator) + 0.5).to(DEVICE, dtype)
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def close(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    assert found.dtype == dtype
    assert found.shape == expected.shape
    assert expected.norm() > 0
    return float((found.float() - expected).norm() / expected.norm()) < LIMITS[dtype]


@pytest.mark.parametrize("act", [False, True])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("channels", "groups", "height", "width"),
    [(40, 4, 7, 9), (64, 32, 4, 4), (320, 32, 3, 5), (128, 32, 16, 24)],
)
def test_norm(
    dtype: torch.dtype, act: bool, whole: bool, channels: int, groups: int, height: int, width: int
) -> None:
    from backend.diffusion.fast import launching

    x, dy, beside = (random(dtype, 2, channels, height, width, seed=seed) for seed in range(3))
    weight, shift = random(dtype, channels, seed=3), random(dtype, channels, seed=4)
    # A part of longer rows, as several layers' results of one matrix product are.
    bias = random(dtype, 2, channels + 16, seed=5)[:, 16:]
    exact = x.float().requires_grad_()
    moved = exact + bias.float()[:, :, None, None]
    wanted = F.group_norm(moved, groups, weight.float(), shift.float(), 1e-5)
    wanted = F.silu(wanted) if act else wanted
    (slope,) = torch.autograd.grad(wanted, exact, dy.float())
    y, factors, moments = launching.normalize(x, bias, groups, weight, shift, 1e-5, act, whole)
    assert close(y, wanted.detach(), dtype)
    dx = launching.normalize_back(x, dy, beside, bias, weight, factors, moments, act)
    assert close(dx, slope + beside.float(), dtype)


def test_sums_of_many_rows_in_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.diffusion.fast import launching

    monkeypatch.setattr(launching, "_PROGRAMS", 1)
    x, dy = (random(torch.float32, 1, 64, 21, 19, seed=seed).requires_grad_() for seed in range(2))
    weight, shift = random(torch.float32, 64, seed=2), random(torch.float32, 64, seed=3)
    wanted = F.silu(F.group_norm(x, 32, weight, shift, 1e-5))
    (slope,) = torch.autograd.grad(wanted, x, dy)
    x, dy = x.detach(), dy.detach()
    y, factors, moments = launching.normalize(x, None, 32, weight, shift, 1e-5, True, False)
    assert close(y, wanted.detach(), torch.float32)
    dx = launching.normalize_back(x, dy, None, None, weight, factors, moments, True)
    assert close(dx, slope, torch.float32)


@pytest.mark.parametrize("shared", [False, True])
def test_norm_without_a_bias_or_with_one_for_all(shared: bool) -> None:
    from backend.diffusion.fast import launching

    x = random(torch.float32, 3, 64, 5, 4)
    weight, shift = random(torch.float32, 64, seed=1), random(torch.float32, 64, seed=2)
    bias = random(torch.float32, 1, 64, seed=3) if shared else None
    wanted = F.group_norm(x if bias is None else x + bias[:, :, None, None], 32, weight, shift, 1e-6)
    for whole in (False, True):
        y, *_ = launching.normalize(x, bias, 32, weight, shift, 1e-6, False, whole)
        assert close(y, wanted, torch.float32)


def test_norm_of_numbers_far_from_zero() -> None:
    """In one kernel the mean is taken away before anything is squared."""
    from backend.diffusion.fast import launching

    x = random(torch.float32, 1, 64, 8, 8) + 300
    weight, shift = torch.ones(64, device=DEVICE), torch.zeros(64, device=DEVICE)
    wanted = F.group_norm(x.double(), 32, eps=1e-5).float()
    y, *_ = launching.normalize(x, None, 32, weight, shift, 1e-5, False, True)
    assert float((y - wanted).norm() / wanted.norm()) < 1e-4


@pytest.mark.parametrize("channels", [3, 40, 320])
def test_bias_and_residual(dtype: torch.dtype, channels: int) -> None:
    from backend.diffusion.fast import launching

    h, x = (random(dtype, 2, channels, 5, 7, seed=seed) for seed in range(2))
    bias = random(dtype, channels, seed=2)
    wanted = h.float() + bias.float()[:, None, None]
    assert close(launching.add_bias(h, bias, None), wanted, dtype)
    found = launching.add_bias(h, bias, x)
    assert close(found, wanted + x.float(), dtype)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("channels", "height", "width"), [(40, 5, 7), (128, 24, 16)])
def test_sums_made_by_the_way(dtype: torch.dtype, channels: int, height: int, width: int) -> None:
    from backend.diffusion.fast import launching

    h, x = (random(dtype, 2, channels, height, width, seed=seed) for seed in range(2))
    bias = random(dtype, channels, seed=2)
    for beside in (None, x):
        found, partial = launching.add_bias_and_sum(h, bias, beside)
        assert torch.equal(found, launching.add_bias(h, bias, beside))
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert close(partial.sum(1), _sums(found), torch.float32)


@pytest.mark.parametrize("few", [3, 4])
@pytest.mark.parametrize(("channels", "height", "width"), [(40, 5, 7), (320, 8, 8), (128, 24, 16)])
def test_convolution_of_few_channels(
    dtype: torch.dtype, few: int, channels: int, height: int, width: int
) -> None:
    from backend.diffusion.fast import launching

    if not CUDA and dtype == torch.bfloat16:
        pytest.skip("Triton's interpreter can't multiply matrices of bfloat16")
    x, weight = random(dtype, 2, few, height, width), random(dtype, channels, few, 3, 3, seed=1)
    bias = random(dtype, channels, seed=2)
    found, partial = launching.first_conv(x, weight, bias)
    wanted = F.conv2d(x.double(), weight.double(), bias.double(), padding=1).float()
    assert close(found, wanted, dtype)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert close(partial.sum(1), _sums(found), torch.float32)


def test_norm_by_sums_that_are_known(dtype: torch.dtype) -> None:
    from backend.diffusion.fast import launching

    h, bias = random(dtype, 2, 64, 24, 16), random(dtype, 64, seed=1)
    weight, shift = random(dtype, 64, seed=2), random(dtype, 64, seed=3)
    x, partial = launching.add_bias_and_sum(h, bias, None)
    known = launching.normalize(x, None, 32, weight, shift, 1e-5, True, False, partial)
    wanted = F.silu(F.group_norm(x.float(), 32, weight.float(), shift.float(), 1e-5))
    assert close(known[0], wanted, dtype)
    # They are read, not made anew.
    other = launching.normalize(x, None, 32, weight, shift, 1e-5, True, False, partial * 2)
    assert not close(other[0], wanted, dtype)


def _sums(x: Tensor) -> Tensor:
    x = x.double().flatten(2)
    return torch.stack((x.sum(-1), x.square().sum(-1)), 1).float()


@pytest.mark.parametrize("channels", [40, 128])
def test_upsampling(dtype: torch.dtype, channels: int) -> None:
    from backend.diffusion.fast import launching

    x = random(dtype, 2, channels, 5, 7)
    found = launching.upsample(x)
    assert torch.equal(found, F.interpolate(x, scale_factor=2.0, mode="nearest"))
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [40, 320, 640, 1280])
def test_layer_norm(dtype: torch.dtype, channels: int) -> None:
    from backend.diffusion.fast import launching

    x, h = (random(dtype, 3, 5, channels, seed=seed) for seed in range(2))
    bias, later, weight, shift = (random(dtype, channels, seed=seed) for seed in range(2, 6))

    def norm(tokens: Tensor) -> Tensor:
        return F.layer_norm(tokens, (channels,), weight.float(), shift.float(), 1e-5)

    assert close(launching.layer_norm(x, weight, shift, 1e-5), norm(x.float()), dtype)
    total = x.float() + h.float() + bias.float()
    for extra in (None, later):
        tokens, y = launching.add_layer_norm(x, h, bias, extra, weight, shift, 1e-5)
        assert close(tokens, total if extra is None else total + extra.float(), dtype)
        assert close(y, norm(total), dtype)


@pytest.mark.parametrize("width", [48, 320, 1280])
def test_geglu(dtype: torch.dtype, width: int) -> None:
    from backend.diffusion.fast import launching

    h = random(dtype, 3, 5, 2 * width)
    value, gate = h.float().chunk(2, -1)
    assert close(launching.geglu(h), value * F.gelu(gate), dtype)
