# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
import torch
from torch import nn

from backend.errors import UserError
from backend.training.architecture import (
    AUTOENCODERS,
    SMALL,
    AutoencoderShape,
    autoencoder_shape,
    build_autoencoder,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    varied_shape,
)


def _weights(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(("size", "channels"), [(64, 4), (128, 8)])
def test_a_whole_model_fits_in_16_megabytes(size: int, channels: int) -> None:
    shape = AUTOENCODERS[size]
    tokenizer = build_tokenizer([f"word{n}" for n in range(250)])
    vae = build_autoencoder(shape)
    unet = build_unet(SMALL, shape.latent_channels, 16)
    assert _weights(unet) == pytest.approx(6.15e6, rel=0.01)
    total = _weights(unet) + _weights(vae) + _weights(build_text_encoder(SMALL, tokenizer))
    assert 2 * total < 15_800_000  # the rest is for headers, configs and the vocabulary
    with torch.no_grad():
        assert vae.encode(torch.zeros(1, 3, size, size)).latent_dist.mean.shape == (1, channels, 16, 16)


def test_unknown_image_size() -> None:
    with pytest.raises(UserError, match="64 or 128"):
        autoencoder_shape(96)


def test_other_channels_can_be_tried() -> None:
    assert varied_shape(64, None, 6) == AutoencoderShape(64, AUTOENCODERS[64].channels, 6)
    assert varied_shape(64, [8, 16], None) == AutoencoderShape(64, (8, 16), 4)
    with pytest.raises(UserError, match="multiples of 8, not 8 20"):
        varied_shape(64, [8, 20], None)


def test_tokenizer_of_captions() -> None:
    tokenizer = build_tokenizer(["A Red cup", "a blue-ish cup's lid"], 8)
    assert tokenizer.words == ["a", "blue-ish", "cup", "cup's", "lid", "red"]
    assert len(tokenizer.encode("a red lid")) == 8
    with pytest.raises(UserError, match="7 words"):
        build_tokenizer(["one two three four five six seven"], 8)
