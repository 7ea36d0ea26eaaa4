# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from a model folder without loading it."""

import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode

from backend.diffusion.registry import SHIPPED
from backend.diffusion.storage import load
from backend.errors import UserError
from backend.memory.facts import (
    count_parameters,
    decoder_elements,
    encoder_elements,
    read_facts,
    unet_elements,
)


def test_parameters_are_counted_from_the_header_alone(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file(
        {"a.w": torch.zeros(3, 4), "a.b": torch.zeros(()), "decoder.w": torch.zeros(5)}, file, {"k": "v"}
    )
    assert count_parameters(file) == 18
    assert count_parameters(file, leave_out=("decoder.",)) == 13
    header = int.from_bytes(file.read_bytes()[:8], "little")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[: 8 + header])  # no data: it must not be looked at
    assert count_parameters(cut) == 18


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", b"\x04" + bytes(7) + b"oops"]
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.safetensors is broken"):
        count_parameters(tmp_path / "bad.safetensors")
    with pytest.raises(UserError, match=r"none\.safetensors is missing"):
        count_parameters(tmp_path / "none.safetensors")


def test_the_shipped_model_has_what_is_loaded_of_it() -> None:
    facts = read_facts(SHIPPED / "small", 64)
    whole = load("small", parts=("vae",)).vae
    total = facts.parameters["vae_encoder"] + facts.parameters["vae_decoder"]
    assert total == sum(p.numel() for p in whole.parameters())
    model = load("small", parts=("unet", "vae_encoder", "text"))
    names = {"unet": "unet", "vae": "vae_encoder", "text": "text"}
    for name, part in model.parts.items():
        assert facts.parameters[names[name]] == sum(p.numel() for p in part.parameters())
    assert facts.latent_size == model.latent_shape[-1]


def test_a_layer_of_one_level_counted_by_hand() -> None:
    # Image 3; block 6 x 8; middle: two blocks 2 x 6 x 8, attention 6 x 8, end 3 x 8.
    assert encoder_elements([8], 1) == 3 + 48 + 96 + 48 + 24
    # First convolution 10, two blocks 2 x 10; then the widest block.
    assert unet_elements([10], [2]) == 10 + 20 + 225


def test_the_encoder_keeps_what_the_formula_says() -> None:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    widths = (32, 64, 96)
    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=widths,
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
        ).requires_grad_(False)
        images = torch.rand(1, 3, 64, 64, requires_grad=True)
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    for parameter in vae.parameters():
        pack(parameter)
    weights = set(kept)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        vae.encode(images)
    saved = sum(storage.nbytes() for key, storage in kept.items() if key not in weights)
    assert saved / (64 * 64 * 4) == pytest.approx(encoder_elements(widths, 2), rel=0.02)


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that live at once, without computing anything on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in [made] if isinstance(made, torch.Tensor) else made:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known[key] = size
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self._known.pop(key)


@pytest.mark.parametrize(("widths", "layers"), [((32, 64, 64), 1), ((128, 256, 512, 512), 2)])
def test_what_the_decoder_holds_at_once_counted_tensor_by_tensor(
    widths: tuple[int, ...], layers: int
) -> None:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=widths,
            layers_per_block=layers,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
        )
        latents = torch.zeros(4, 4, 16, 16)
    side = 16 << (len(widths) - 1)
    with torch.no_grad(), Alive() as alive:
        vae.decode(latents)
    assert alive.most / (4 * 4 * side * side) == pytest.approx(decoder_elements(widths), rel=0.03)


def test_a_model_without_a_text_encoder_needs_none(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "small", tmp_path / "mute")
    shutil.rmtree(tmp_path / "mute" / "text_encoder")
    assert read_facts(tmp_path / "mute", 64).parameters["text"] == 0


def test_a_folder_without_a_part_or_with_a_broken_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="The model is incomplete"):
        read_facts(tmp_path, 64)
    for part in ("unet", "vae"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match=r"is broken: a setting is missing.*download or convert"):
        read_facts(tmp_path, 64)
    (tmp_path / "vae" / "config.json").write_text("[1]")
    with pytest.raises(UserError, match="holds no settings"):
        read_facts(tmp_path, 64)
