# SPDX-License-Identifier: GPL-3.0-or-later
"""Halves of classifier-free guidance: computed once until they differ, and with the same result."""

from typing import Any

import pytest
import torch
from torch import Tensor

from backend.diffusion.fast import blocks
from backend.diffusion.fast.twins import halves_alike
from backend.diffusion.model import MultiViewDiffusion


def inputs(model: MultiViewDiffusion, views: int = 2) -> tuple[Any, ...]:
    """Two contexts for two times the same views."""
    unet: Any = model.unet
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(views, unet.config.in_channels, 8, 8, generator=generator)
    context = torch.randn(2, 7, unet.config.cross_attention_dim, generator=generator)
    camera = torch.randn(views, 16, generator=generator)
    both = torch.cat((latents, latents)), torch.cat((camera, camera))
    return both[0], torch.full((2 * views,), 300), context, both[1], views


@torch.no_grad()
def test_same_noise(pair: Any, relative_error: Any) -> None:
    stock, fast = pair
    expected = stock.predict_noise(*inputs(stock))
    assert not torch.allclose(expected[:2], expected[2:])
    assert relative_error(fast.predict_noise(*inputs(fast), repeated=True), expected) < 1e-5
    # Stock networks know nothing of it.
    assert torch.equal(stock.predict_noise(*inputs(stock), repeated=True), expected)


@torch.no_grad()
@pytest.mark.parametrize(("repeated", "images"), [(True, 2), (False, 4)])
def test_the_first_resnet_sees_one_half_if_told(
    pair: Any, monkeypatch: pytest.MonkeyPatch, repeated: bool, images: int
) -> None:
    fast, seen = pair[1], []

    def counted(norm: Any) -> Any:
        def count(x: Tensor, *others: Any, **named: Any) -> Any:
            seen.append(len(x))
            return norm(x, *others, **named)

        return count

    for name in ("fork_norm", "norm"):
        monkeypatch.setattr(blocks, name, counted(getattr(blocks, name)))
    fast.predict_noise(*inputs(fast), repeated=repeated)
    # Two norms of resnets before the prompt is looked at.
    assert seen[:2] == [images, images]
    assert set(seen[2:]) == {4}


@torch.no_grad()
def test_it_holds_for_one_call(pair: Any, relative_error: Any) -> None:
    fast = pair[1]
    latents, steps, context, camera, views = inputs(fast)
    with pytest.raises(RuntimeError, match="stop"), halves_alike(fast.unet, True):
        raise RuntimeError("stop")
    fast.predict_noise(latents, steps, context, camera, views, repeated=True)
    latents = latents.flip(-1) * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None, None]
    expected, found = (model.predict_noise(latents, steps, context, camera, views) for model in pair)
    assert relative_error(found, expected) < 1e-5


def test_same_gradient_of_the_noise(pair: Any, relative_error: Any) -> None:
    results = []
    for model in pair:
        latents, *others = inputs(model)
        half = latents[:2].clone().requires_grad_()
        noise = model.predict_noise(torch.cat((half, half)), *others, repeated=True)
        weight = torch.randn(noise.shape, generator=torch.Generator().manual_seed(3))
        results.append(torch.autograd.grad((noise * weight).sum(), half)[0])
    # The stock gradient is 5e-6 from double precision's, this one 1.2e-5.
    assert relative_error(results[1], results[0]) < 3e-5


def test_a_batch_without_halves_is_refused(pair: Any) -> None:
    latents, steps, context, camera, _ = inputs(pair[1])
    with pytest.raises(ValueError, match="two halves of groups of 4 views"):
        pair[1].predict_noise(latents, steps, context, camera, 4, repeated=True)
