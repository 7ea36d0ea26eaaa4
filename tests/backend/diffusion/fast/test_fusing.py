# SPDX-License-Identifier: GPL-3.0-or-later
"""Fused modules against stock ones: the same numbers, the same gradient, the same parameter names."""

import copy
from typing import Any

import pytest
import torch

from backend.diffusion.fast.fusing import fuse
from backend.diffusion.model import MultiViewDiffusion


def inputs(model: MultiViewDiffusion) -> tuple[Any, ...]:
    unet: Any = model.unet
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(4, unet.config.in_channels, 8, 8, generator=generator)
    context = torch.randn(4, 7, unet.config.cross_attention_dim, generator=generator)
    camera = torch.randn(4, 16, generator=generator)
    return latents, torch.tensor([5, 5, 900, 900]), context, camera, 2


def test_everything_known_is_replaced(pair: Any) -> None:
    left = {type(module).__name__ for part in (pair[1].unet, pair[1].vae) for module in part.modules()}
    assert {"FusedResnet", "FusedTransformer", "FusedMapAttention", "FusedDownsample"} <= left
    assert {"FusedUpsample", "FusedConv", "FusedNorm"} <= left
    assert not {"Resnet", "Transformer", "MapAttention", "Downsample", "Upsample"} & left


def test_parameters_keep_their_names(pair: Any) -> None:
    pair[1].predict_noise(*inputs(pair[1]))
    for before, after in ((pair[0].unet, pair[1].unet), (pair[0].vae, pair[1].vae)):
        found = after.state_dict()
        assert set(found) == set(before.state_dict())
        assert all(torch.equal(value, found[name]) for name, value in before.state_dict().items())


def test_same_noise(pair: Any, relative_error: Any) -> None:
    with torch.no_grad():
        expected, found = (model.predict_noise(*inputs(model)) for model in pair)
    assert relative_error(found, expected) < 1e-5


@pytest.mark.parametrize("side", [32, 48])
def test_same_latents_and_same_gradient(pair: Any, relative_error: Any, side: int) -> None:
    generator = torch.Generator().manual_seed(1)
    images, results = torch.rand(2, side, side, 3, generator=generator), []
    for model in pair:
        x = images.clone().requires_grad_()
        latents = model.encode_images(x, generator=torch.Generator().manual_seed(2))
        weight = torch.randn(latents.shape, generator=torch.Generator().manual_seed(3))
        results.append((latents.detach(), *torch.autograd.grad((latents * weight).sum(), x)))
    for found, expected in zip(results[1], results[0], strict=True):
        assert expected.norm() > 0
        assert relative_error(found, expected) < 1e-5


def test_same_pictures(pair: Any, relative_error: Any) -> None:
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = (model.decode_latents(latents) for model in pair)
    assert relative_error(found, expected) < 1e-5


def test_joined_weights_follow_a_cast(pair: Any) -> None:
    pair[1].predict_noise(*inputs(pair[1]))
    model = copy.deepcopy(pair[1]).to(dtype=torch.float64)
    expected = pair[0].predict_noise(*inputs(pair[0]))
    assert torch.allclose(model.predict_noise(*inputs(model)), expected, atol=1e-4)


def test_a_network_without_a_lean_equal_stays(pair: Any, relative_error: Any) -> None:
    """Whose settings the lean one does not know."""
    model = copy.deepcopy(pair[0])
    unet = model.unet
    unet.register_to_config(resnet_skip_time_act=True)
    expected = model.predict_noise(*inputs(model))
    model.fuse()
    assert model.unet is unet
    assert relative_error(model.predict_noise(*inputs(model)), expected) < 1e-5
    assert type(model.vae).__name__ == "Autoencoder"


def test_a_second_time_nothing_changes(pair: Any) -> None:
    networks = pair[1].unet, pair[1].vae
    expected = pair[1].predict_noise(*inputs(pair[1]))
    pair[1].fuse()
    assert (pair[1].unet, pair[1].vae) == networks
    assert all(fuse(network) == 0 for network in networks)
    assert torch.equal(pair[1].predict_noise(*inputs(pair[1])), expected)


def test_an_autoencoder_without_decoder_and_frozen_weights_stay_so(pair: Any) -> None:
    model = copy.deepcopy(pair[0])
    model.drop_image_decoder()
    model.fuse()
    assert model.vae.decoder is model.vae.post_quant_conv is None
    assert not any(p.requires_grad for part in model.parts.values() for p in part.parameters())
    assert not any(part.training for part in model.parts.values())


def test_upsampling_to_no_double_size(pair: Any, relative_error: Any) -> None:
    """Of an odd map the way up has no simple double."""
    latents, *others = inputs(pair[0])
    with torch.no_grad():
        expected, found = (model.predict_noise(latents[..., :7, :5], *others) for model in pair)
    assert relative_error(found, expected) < 1e-5


def test_on_a_processor_the_unet_alone_is_fused(tiny: Any, relative_error: Any) -> None:
    stock = copy.deepcopy(tiny("v21")).freeze()
    fast = copy.deepcopy(stock).accelerate()
    assert type(fast.unet).__name__ == "UNet"
    assert any(type(module).__name__ == "FusedResnet" for module in fast.unet.modules())
    assert type(fast.vae) is type(stock.vae)
    assert fast._graphs == {}
    with torch.no_grad():
        expected, found = (model.predict_noise(*inputs(model)) for model in (stock, fast))
        assert relative_error(found, expected) < 1e-5
        half = [model.to(dtype=torch.bfloat16).predict_noise(*inputs(model)) for model in (stock, fast)]
    errors = [relative_error(each, expected) for each in half]
    assert 0 < errors[1] < 1.5 * errors[0]
