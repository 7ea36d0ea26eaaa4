# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights that oneDNN has laid out. In float32, which more processors can do than are faster by it."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.diffusion.fast import packed
from backend.diffusion.fast.joined import Joined

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")


@pytest.fixture
def random() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator)


def as_channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
@pytest.mark.parametrize("with_plus", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, (1, 1), (1, 1)), (3, (2, 2), (1, 1)), (1, (1, 1), (0, 0))]
)
def test_a_convolution_and_what_is_added(
    random: Callable[..., Tensor],
    size: int,
    stride: tuple[int, int],
    padding: tuple[int, int],
    with_bias: bool,
    with_plus: bool,
) -> None:
    x, weight = as_channels_last(random(2, 12, 8, 6)), random(20, 12, size, size)
    bias = random(20) if with_bias else None
    expected = F.conv2d(x, weight, bias, stride, padding)
    plus = as_channels_last(random(*expected.shape)) if with_plus else None
    before = None if plus is None else plus.clone()
    found = packed.conv(x, weight, bias, stride, padding, plus)
    torch.testing.assert_close(found, expected if plus is None else expected + plus, atol=1e-4, rtol=1e-4)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert before is None or torch.equal(plus, before)  # type: ignore[arg-type]
    # The next map may have another size.
    x = as_channels_last(random(3, 12, 4, 4))
    found = packed.conv(x, weight, bias, stride, padding)
    torch.testing.assert_close(found, F.conv2d(x, weight, bias, stride, padding), atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("with_plus", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("ending", [(), (1, 1)])
def test_a_linear_layer_and_what_is_added(
    random: Callable[..., Tensor], ending: tuple[int, ...], with_bias: bool, with_plus: bool
) -> None:
    x, weight = random(2, 9, 12), random(20, 12, *ending)
    bias, plus = random(20) if with_bias else None, random(2, 9, 20) if with_plus else None
    expected = F.linear(x, weight.flatten(1), bias)
    before = None if plus is None else plus.clone()
    found = packed.linear(x, weight, bias, plus)
    assert before is None or torch.equal(plus, before)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected if plus is None else expected + plus, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_weight_is_laid_out_once_and_anew_when_it_changed(random: Callable[..., Tensor]) -> None:
    x, layer = random(2, 9, 12), nn.Linear(12, 20).requires_grad_(False)

    def laid_out() -> Any:
        found = packed.linear(x, layer.weight)
        torch.testing.assert_close(found, F.linear(x, layer.weight), atol=1e-4, rtol=1e-4)
        return packed._known[layer.weight]["linear"][1]

    first = laid_out()
    assert laid_out() is first
    layer.weight.mul_(2)  # written to
    second = laid_out()
    assert second is not first
    layer.weight.data = random(20, 12)  # as a module that is moved or cast does
    assert laid_out() is not second


@torch.no_grad()
def test_one_weight_may_serve_two_kinds_of_product(random: Callable[..., Tensor]) -> None:
    weight, x = random(20, 12, 1, 1), as_channels_last(random(2, 12, 4, 4))
    tokens = x.permute(0, 2, 3, 1).flatten(1, 2)
    laid_out: list[list[int]] = []
    for _ in range(2):
        mapped = packed.conv(x, weight, None, (1, 1), (0, 0))
        product = packed.linear(tokens, weight)
        laid_out.append([id(found) for _, found in packed._known[weight].values()])
        torch.testing.assert_close(mapped.permute(0, 2, 3, 1).flatten(1, 2), product, atol=1e-4, rtol=1e-4)
    assert laid_out[0] == laid_out[1]
    assert len(laid_out[0]) == 2


@torch.no_grad()
def test_joined_layers_that_are_written_to_are_laid_out_anew(
    random: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "serves", lambda x: True)
    layers = [nn.Linear(12, width).requires_grad_(False) for width in (20, 6)]
    joined, x = Joined(layers), random(2, 9, 12)

    def check() -> None:
        for found, layer in zip(joined(x), layers, strict=True):
            expected = F.linear(x, layer.weight, layer.bias)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

    check()
    layers[1].weight.mul_(2)
    check()
    layers[0].load_state_dict(nn.Linear(12, 20).state_dict())
    check()
    layers[0].bias.add_(1)
    check()


@torch.no_grad()
def test_nothing_is_kept_of_a_weight_that_is_gone(random: Callable[..., Tensor]) -> None:
    before = len(packed._known)
    weight = random(20, 12)
    packed.linear(random(1, 3, 12), weight)
    assert len(packed._known) == before + 1
    del weight
    gc.collect()
    assert len(packed._known) == before


@torch.no_grad()
def test_a_whole_network_computes_the_same(
    pair: Any, monkeypatch: pytest.MonkeyPatch, relative_error: Any
) -> None:
    stock, fast = pair
    generator = torch.Generator().manual_seed(0)
    config = fast.unet.config
    latents = torch.randn(4, config.in_channels, 8, 8, generator=generator)
    context = torch.randn(4, 7, config.cross_attention_dim, generator=generator)
    camera = torch.randn(4, 16, generator=generator)
    given = latents, torch.full((4,), 300), context, camera, 2
    expected = stock.predict_noise(*given)
    served: list[bool] = []

    def serves(x: Tensor) -> bool:
        served.append(not torch.is_grad_enabled())
        return served[-1]

    monkeypatch.setattr(packed, "serves", serves)
    assert relative_error(fast.predict_noise(*given), expected) < 1e-5
    assert served
    assert all(served)


def test_whom_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    half = torch.zeros(1, 2, 3, dtype=torch.bfloat16)
    monkeypatch.setattr(packed, "_is_there", lambda: True)
    assert packed.serves(half)
    assert packed.serves(half.clone().requires_grad_().detach())
    assert not packed.serves(half.clone().requires_grad_())
    assert not packed.serves(half.float())  # no gain
    assert not packed.serves(half.to("meta"))
    monkeypatch.setattr(packed, "_is_there", lambda: False)
    assert not packed.serves(half)


def test_a_processor_without_instructions_for_it_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    packed._is_there.cache_clear()
    try:
        assert not packed._is_there()
    finally:
        packed._is_there.cache_clear()


@pytest.mark.skipif(not packed._is_there(), reason="no AVX-512 with bfloat16")
@torch.no_grad()
def test_in_bfloat16(random: Callable[..., Tensor]) -> None:
    x, weight = random(2, 64, 8, 8), random(32, 64, 3, 3) / 24
    plus = random(2, 32, 8, 8)
    expected = F.conv2d(x, weight, None, 1, 1) + plus
    half = (as_channels_last(value.bfloat16()) for value in (x, weight))
    found = packed.conv(*half, None, (1, 1), (1, 1), as_channels_last(plus.bfloat16()))
    assert (found.float() - expected).norm() < 0.01 * expected.norm()
