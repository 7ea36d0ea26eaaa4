# SPDX-License-Identifier: GPL-3.0-or-later
"""Products shared by all blocks: the stock numbers, never an older input's, one object for each network."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.diffusion.fast.sharing import share
from backend.diffusion.model import MultiViewDiffusion


def run(model: MultiViewDiffusion, context: Tensor, latents: Tensor | None = None) -> Tensor:
    unet: Any = model.unet
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(4, unet.config.in_channels, 8, 8, generator=generator)
    camera = torch.randn(4, 16, generator=generator)
    steps = torch.tensor([5, 5, 900, 900])
    return model.predict_noise(drawn if latents is None else latents, steps, context, camera, 2)


def contexts(model: MultiViewDiffusion, rows: int, seed: int = 0) -> Tensor:
    unet: Any = model.unet
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 7, unet.config.cross_attention_dim, generator=generator)


def test_same_noise(pair: Any, relative_error: Any) -> None:
    context = contexts(pair[0], 4)
    with torch.no_grad():
        assert relative_error(run(pair[1], context), run(pair[0], context)) < 1e-5


def test_one_context_for_each_prompt_is_enough(pair: Any, relative_error: Any) -> None:
    context = contexts(pair[0], 2)
    with torch.no_grad():
        expected = run(pair[0], context.repeat_interleave(2, 0))
        assert relative_error(run(pair[1], context), expected) < 1e-5


def test_a_context_changed_in_place_is_seen(pair: Any, relative_error: Any) -> None:
    """As a CUDA graph's input is: the same tensor, other numbers."""
    context = contexts(pair[0], 4)
    with torch.no_grad():
        before = run(pair[1], context)
        context.copy_(contexts(pair[0], 4, seed=1))
        found, expected = run(pair[1], context), run(pair[0], context)
    assert relative_error(found, before) > 1e-3
    assert relative_error(found, expected) < 1e-5


def test_nothing_is_kept_between_passes(pair: Any) -> None:
    run(pair[1], contexts(pair[0], 4))
    kept = [m._shared for m in pair[1].unet.modules() if getattr(m, "_shared", None) is not None]
    assert len({id(shared) for shared in kept}) == 2
    assert all(shared._input is None and not shared._outputs for shared in kept)


def test_each_product_is_made_once(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.diffusion.fast.joined import Shared

    made: list[int] = []
    whole = Shared.outputs

    def counted(self: Shared, x: Tensor) -> tuple[Tensor, ...]:
        made.append(1)
        return whole(self, x)

    monkeypatch.setattr(Shared, "outputs", counted)
    run(pair[1], contexts(pair[0], 4))
    assert made == [1]  # the context's; times have a method of their own


def test_a_copy_shares_with_itself(pair: Any, relative_error: Any) -> None:
    copied = copy.deepcopy(pair[1])
    context = contexts(pair[0], 4)
    with torch.no_grad():
        expected = run(pair[1], context)
        for parameter in pair[1].unet.parameters():
            parameter.zero_()
        assert relative_error(run(copied, context), expected) < 1e-6


def test_a_second_time_changes_nothing(pair: Any) -> None:
    before = len(pair[1].unet._forward_pre_hooks)
    share(pair[1].unet)
    assert len(pair[1].unet._forward_pre_hooks) == before == 2
    assert not pair[1].vae._forward_pre_hooks


def test_same_gradient_of_the_noise(pair: Any, relative_error: Any) -> None:
    """Where one is wanted, nothing is done in place."""
    latents = torch.randn(
        4, pair[0].unet.config.in_channels, 8, 8, generator=torch.Generator().manual_seed(4)
    )
    context, slopes = contexts(pair[0], 4), []
    for model in pair:
        leaf = latents.clone().requires_grad_()
        slopes.append(torch.autograd.grad(run(model, context, leaf).square().sum(), leaf)[0])
    assert relative_error(slopes[1], slopes[0]) < 1e-4


def test_parameters_keep_their_names_and_values(pair: Any) -> None:
    run(pair[1], contexts(pair[0], 4))
    found, expected = pair[1].unet.state_dict(), pair[0].unet.state_dict()
    assert set(found) == set(expected)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
