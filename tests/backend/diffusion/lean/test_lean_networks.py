# SPDX-License-Identifier: GPL-3.0-or-later
"""The lean networks against the stock ones, to the last bit; and what they leave to those."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.diffusion import MultiViewDiffusion, load, save
from backend.diffusion.lean.autoencoder import Autoencoder
from backend.diffusion.lean.settings import text_settings, tiny_settings, unet_settings, vae_settings
from backend.diffusion.lean.text_model import TextModel
from backend.diffusion.lean.tiny_encoder import TinyEncoder
from backend.diffusion.lean.unet import UNet
from backend.diffusion.registry import resolve
from backend.errors import UserError

Pair = tuple[MultiViewDiffusion, MultiViewDiffusion]


@pytest.fixture(params=["small", "v21", "v15"])
def pair(request: Any, tiny: Callable[[str], MultiViewDiffusion], tmp_path: Path) -> Pair:
    """A model with stock networks and the same with lean ones."""
    if request.param == "small":
        return load("small"), load("small", lean=True)
    save(tiny(request.param), tmp_path)
    return load(tmp_path), load(tmp_path, lean=True)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_all_networks_are_lean_and_have_the_same_weights(pair: Pair) -> None:
    stock, lean = pair
    assert type(lean.unet) is UNet
    assert type(lean.vae) is Autoencoder
    assert lean.text is None or type(lean.text.model) is TextModel
    for name in ("unet", "vae"):
        expected = stock.parts[name].state_dict()
        found = lean.parts[name].state_dict()
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert not any(p.requires_grad for part in lean.parts.values() for p in part.parameters())


@pytest.mark.parametrize("views", [4, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [8, 12, 7])
def test_the_noise_is_the_same(pair: Pair, views: int, dtype: torch.dtype, side: int) -> None:
    width = pair[0].unet.config.cross_attention_dim
    camera = drawn(8, 16)
    camera[:4] = 0
    inputs = drawn(8, 4, side, side), torch.arange(8) * 120, drawn(2, 9, width), camera, views
    stock, lean = (model.to(dtype=dtype).predict_noise(*inputs) for model in pair)
    assert stock.std() > 0
    assert torch.equal(lean, stock)


def test_latents_their_gradients_and_images_are_the_same(pair: Pair) -> None:
    found = []
    for model in pair:
        images = drawn(2, 32, 32, 3).requires_grad_()
        latents = model.encode_images(images, noise=drawn(*model.encode_images(images).shape))
        (latents**2).sum().backward()
        found.append((latents, images.grad, model.decode_latents(latents)))
    assert all(torch.equal(*both) for both in zip(*found, strict=True))


def test_the_context_is_the_same() -> None:
    stock, lean = load("small", parts=("text",)), load("small", parts=("text",), lean=True)
    prompts = ["a red mug", "", "a blue car with a yellow roof"]
    assert torch.equal(lean.encode_prompts(prompts), stock.encode_prompts(prompts))


def test_the_other_activation_of_text_encoders_is_the_same(tmp_path: Path) -> None:
    folder = shutil.copytree(resolve("small"), tmp_path / "copy")
    change(folder / "text_encoder" / "config.json", hidden_act="gelu")
    stock, lean = (load(folder, parts=("text",), lean=each) for each in (False, True))
    found = lean.encode_prompts(["a red mug"])
    assert torch.equal(found, stock.encode_prompts(["a red mug"]))
    assert not torch.equal(found, load("small", parts=("text",)).encode_prompts(["a red mug"]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_latents_of_the_small_encoder_and_their_gradients_are_the_same(dtype: torch.dtype) -> None:
    found = []
    for lean in (False, True):
        model = load("small", "cpu", dtype, ("tiny_vae",), lean=lean)
        assert (type(model.tiny_vae) is TinyEncoder) == lean
        images = drawn(2, 64, 64, 3).sigmoid().requires_grad_()
        latents = model.encode_images_tiny(images)
        latents.square().sum().backward()
        found.append((latents, images.grad))
    assert all(torch.equal(*both) for both in zip(*found, strict=True))


def test_an_autoencoder_without_decoder_is_lean_too() -> None:
    model = load("small", parts=("vae_encoder",), lean=True)
    assert not [name for name in model.vae.state_dict() if name.startswith(("decoder", "post_quant"))]
    assert model.encode_images(torch.rand(1, 64, 64, 3)).shape == (1, 4, 16, 16)
    with pytest.raises(ValueError, match="decoder"):
        model.decode_latents(torch.zeros(1, 4, 16, 16))


def change(path: Path, **settings: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def shipped(part: str) -> dict[str, Any]:
    return json.loads((resolve("small") / part / "config.json").read_text())


@pytest.mark.parametrize(
    ("part", "settings", "changes"),
    [
        ("unet", unet_settings, {"flip_sin_to_cos": False}),
        ("unet", unet_settings, {"resnet_time_scale_shift": "scale_shift"}),
        ("unet", unet_settings, {"transformer_layers_per_block": 2}),
        ("unet", unet_settings, {"class_embed_type": None}),
        ("unet", unet_settings, {"a_word_of_the_future": 1}),
        ("unet", unet_settings, {"up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]}),
        ("unet", unet_settings, {"block_out_channels": [64, 96]}),
        ("unet", unet_settings, {"layers_per_block": [1, 1, 2]}),
        ("vae", vae_settings, {"mid_block_add_attention": False}),
        ("vae", vae_settings, {"down_block_types": ["AttnDownEncoderBlock2D"] * 3}),
        ("text_encoder", text_settings, {"hidden_act": "relu"}),
        ("text_encoder", text_settings, {"attention_dropout": 0.1}),
        ("tiny_vae", tiny_settings, {"act_fn": "gelu"}),
        ("tiny_vae", tiny_settings, {"shift_factor": 0.1}),
        ("tiny_vae", tiny_settings, {"num_encoder_blocks": [1, 1]}),
        ("tiny_vae", tiny_settings, {"encoder_block_out_channels": [16, 32, 32]}),
    ],
)
def test_other_settings_are_left_to_stock_networks(
    part: str, settings: Callable, changes: dict[str, Any]
) -> None:
    assert settings(shipped(part)) is not None
    assert settings({**shipped(part), **changes}) is None


@pytest.mark.parametrize(
    ("part", "settings", "missing"),
    [
        ("unet", unet_settings, "norm_eps"),
        ("vae", vae_settings, "scaling_factor"),
        ("text_encoder", text_settings, "hidden_act"),
        ("tiny_vae", tiny_settings, "scaling_factor"),
    ],
)
def test_what_a_file_does_not_say_stock_networks_know(part: str, settings: Callable, missing: str) -> None:
    given = shipped(part)
    del given[missing]
    assert settings(given) is None


def test_a_model_with_other_settings_has_stock_networks(tmp_path: Path) -> None:
    folder = shutil.copytree(resolve("small"), tmp_path / "copy")
    change(folder / "unet" / "config.json", freq_shift=1)
    model = load(folder, lean=True)
    assert type(model.unet).__name__ == "UNet2DConditionModel"
    assert type(model.vae) is Autoencoder


def test_a_number_that_is_none_is_refused_with_a_sentence(tmp_path: Path) -> None:
    folder = shutil.copytree(resolve("small"), tmp_path / "copy")
    change(folder / "unet" / "config.json", norm_num_groups="many")
    with pytest.raises(UserError, match="broken"):
        load(folder, lean=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-2), (torch.bfloat16, 3e-2)])
def test_on_a_gpu_they_are_the_same_within_its_precision(dtype: torch.dtype, limit: float) -> None:
    """With the small image encoder; convolutions there take TensorFloat-32 for float32."""
    names = ("unet", "vae", "text", "tiny_vae")
    exact, found = (
        load("small", device, kind, names, lean=True)
        for device, kind in (("cpu", torch.float32), ("cuda", dtype))
    )
    camera, noise, images = drawn(8, 16), drawn(8, 4, 16, 16), drawn(2, 64, 64, 3).sigmoid()

    def numbers(model: MultiViewDiffusion) -> list[Tensor]:
        place = model.device
        context = model.encode_prompts(["a red mug"]).expand(8, -1, -1)
        steps = torch.arange(8, device=place) * 120
        eps = model.predict_noise(noise.to(place), steps, context, camera.to(place), 4)
        seen = images.to(place).requires_grad_()
        latents = model.encode_images_tiny(seen)
        (slope,) = torch.autograd.grad(latents.square().sum(), seen)
        return [
            each.detach().float().cpu()
            for each in (context, eps, latents, slope, model.decode_latents(noise[:1].to(place)))
        ]

    for expected, value in zip(numbers(exact), numbers(found), strict=True):
        assert (value - expected).norm() < limit * expected.norm()
