# SPDX-License-Identifier: GPL-3.0-or-later
"""The small image encoder: the shipped model's, and one as diffusers saves AutoencoderTiny (TAESD)."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from backend.diffusion import load
from backend.diffusion.registry import SHIPPED, models
from backend.errors import UserError

SMALL = SHIPPED / "small"


def taesd(folder: Path, **changes: object) -> AutoencoderTiny:
    """A random one, whole as it is published, saved by diffusers into the model's folder."""
    torch.manual_seed(3)
    widths = (16, 16, 16)
    settings = {
        "encoder_block_out_channels": widths,
        "decoder_block_out_channels": widths,
        "num_encoder_blocks": (1, 1, 1),
        "num_decoder_blocks": (1, 1, 1),
    }
    made = AutoencoderTiny(**{**settings, **changes})
    made.save_pretrained(folder / "tiny_vae")
    return made


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The shipped model without its own small encoder."""
    return shutil.copytree(SMALL, tmp_path / "copy", ignore=shutil.ignore_patterns("tiny_vae"))


def test_latents_are_those_of_diffusers_own_class(copy: Path) -> None:
    stock = taesd(copy)
    model = load(copy, parts=("tiny_vae",))
    assert list(model.parts) == ["tiny_vae"]
    images = torch.rand(2, 64, 64, 3)
    with torch.no_grad():
        expected = stock.encode(images.permute(0, 3, 1, 2) * 2 - 1).latents
    # What TAESD gives are latents that the diffusion model takes as they are: its scaling factor is 1.
    torch.testing.assert_close(model.encode_images_tiny(images), expected)


def test_a_scaling_factor_in_its_configuration_counts(copy: Path) -> None:
    taesd(copy)
    images = torch.rand(1, 64, 64, 3)
    plain = load(copy, parts=("tiny_vae",)).encode_images_tiny(images)
    config = copy / "tiny_vae" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "scaling_factor": 0.5}))
    torch.testing.assert_close(load(copy, parts=("tiny_vae",)).encode_images_tiny(images), 0.5 * plain)


def test_it_is_frozen_differentiable_and_without_chance(copy: Path) -> None:
    taesd(copy)
    model = load(copy, parts=("tiny_vae",), dtype=torch.bfloat16)
    images = torch.rand(1, 64, 64, 3, requires_grad=True)
    latents = model.encode_images_tiny(images)
    assert (latents.dtype, tuple(latents.shape)) == (torch.float32, (1, 4, 16, 16))
    assert torch.equal(latents, model.encode_images_tiny(images))
    latents.square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert not any(p.requires_grad for p in model.parts["tiny_vae"].parameters())


def test_it_is_loaded_only_when_asked_for_and_can_be_let_go(copy: Path) -> None:
    taesd(copy)
    assert "tiny_vae" not in load(copy).parts
    model = load(copy, parts=("vae_encoder", "tiny_vae"))
    assert set(model.parts) == {"vae", "tiny_vae"}
    model.drop_tiny_encoder()
    assert list(model.parts) == ["vae"]
    with pytest.raises(ValueError, match="without its tiny_vae"):
        model.encode_images_tiny(torch.rand(1, 64, 64, 3))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"latent_channels": 8}, "8 channels and 1/4"),
        (
            {
                "encoder_block_out_channels": (16,) * 4,
                "decoder_block_out_channels": (16,) * 4,
                "num_encoder_blocks": (1,) * 4,
                "num_decoder_blocks": (1,) * 4,
            },
            "4 channels and 1/8",
        ),
    ],
)
def test_one_of_another_model_is_refused(copy: Path, changes: dict[str, object], told: str) -> None:
    taesd(copy, **changes)
    with pytest.raises(UserError, match=rf"belongs to another model.*{told}.*have 4 and 1/4"):
        load(copy, parts=("vae_encoder", "tiny_vae"))


def test_a_broken_one_is_told_with_the_way_out_and_the_model_stays_usable(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taesd(copy)
    (file,) = (copy / "tiny_vae").glob("*.safetensors")
    weights = load_file(file)
    weights["encoder.layers.0.weight"][0] = float("nan")
    save_file(weights, file)
    for what in ("spoilt", "broken"):
        with pytest.raises(UserError, match=rf"tiny_vae.*{what}.*set tiny_encoder_until to 0"):
            load(copy, parts=("vae_encoder", "tiny_vae"))
        file.write_bytes(file.read_bytes()[:100])
    (copy / "tiny_vae" / "config.json").unlink()
    with pytest.raises(UserError, match=r"tiny_vae.config\.json is missing"):
        load(copy, parts=("tiny_vae",))
    monkeypatch.setenv("MVDREAM_MODELS", str(copy.parent))
    assert "copy" in [model.name for model in models()]
    load(copy, parts=("vae_encoder",))


def test_the_shipped_one_says_nearly_what_the_models_own_encoder_says() -> None:
    from backend.training.made_images import soft_shapes
    from backend.training.tiny_encoder import agreement

    model = load("small", parts=("vae_encoder", "tiny_vae"))
    shapes = soft_shapes(32, 64, "cpu", torch.Generator().manual_seed(9)).permute(0, 2, 3, 1)
    assert agreement(model, shapes)["explained"] > 0.97
    (file,) = (SMALL / "tiny_vae").glob("*.safetensors")
    assert file.stat().st_size < 300_000
