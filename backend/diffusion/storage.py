# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: diffusers' own layout (safetensors and config.json a part) plus `mvdream.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from backend.diffusion.attention import make_multi_view
from backend.diffusion.config import CONFIG_FILE, read_config
from backend.diffusion.convert import assemble, model_name
from backend.diffusion.foreign_folders import is_foreign, load_tokenizer, plan_folder
from backend.diffusion.inspection import remedied
from backend.diffusion.model import MultiViewDiffusion
from backend.diffusion.part_modules import (
    TEXT_MODEL,
    build_part,
    diffusers_config,
    place_positions,
    stored_name,
    text_module,
    unet_module,
    vae_module,
)
from backend.diffusion.places import DECODER, PLACES, part_folder, weights_file
from backend.diffusion.registry import ModelEntry, resolve
from backend.diffusion.text import TextEncoder
from backend.diffusion.tiny_encoder import load_tiny_encoder, require_same_latents
from backend.diffusion.tokenizer import Tokenizer
from backend.diffusion.weights import fill_from_file
from backend.errors import UserError

PARTS = ("unet", "vae", "text")
# The autoencoder without its decoder: all that distillation needs, and two thirds of the weights saved.
VAE_ENCODER = "vae_encoder"
TINY_VAE = "tiny_vae"

_TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")


def load(
    path_or_name: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    parts: Iterable[str] | None = None,
    part_dtypes: Mapping[str, torch.dtype] | None = None,
    lean: bool = False,
) -> MultiViewDiffusion:
    """The model in a folder, or a known model by name, frozen and in evaluation mode.

    parts: any of "unet", "vae" (or "vae_encoder": without its decoder), "text" and "tiny_vae" (the small
    image encoder); by default the first three, where a model that was converted from a file without a text
    tower has no "text". Weights are cast from whatever precision the files have to `dtype`, those of parts
    in `part_dtypes` to what it says. lean: networks that are there seconds earlier (see
    `backend.diffusion.lean`), of a folder of ours whose settings they know; to be used, not to be trained or
    saved. Folders in diffusers' layout that others made are read too (see `foreign_folders`). Raises
    UserError for an unknown name and for a folder that is incomplete or broken, naming the file.
    """
    wanted = set(PARTS if parts is None else parts)
    unknown = wanted - {*PARTS, VAE_ENCODER, TINY_VAE}
    if unknown:
        raise ValueError(f"unknown parts {sorted(unknown)}")
    folder = resolve(path_or_name)
    if is_foreign(folder):
        model = _load_foreign(folder, device, dtype, wanted - {TINY_VAE})
        return _cast(_with_tiny_encoder(model, folder, device, dtype, wanted, lean), part_dtypes)
    config = read_config(folder)
    entry = ModelEntry(config.name, folder, config)
    if parts is None and not entry.reads_prompts:
        wanted.discard("text")
    if "text" in wanted:
        entry.require_text_encoder()
    decoder = "vae" in wanted
    with remedied():
        model = MultiViewDiffusion(
            config,
            unet=_load_unet(folder, device, dtype, lean) if "unet" in wanted else None,
            vae=_load_vae(folder, device, dtype, decoder, lean) if decoder or VAE_ENCODER in wanted else None,
            text=_load_text(folder, device, dtype, lean) if "text" in wanted else None,
        )
    model = _with_tiny_encoder(model.freeze(), folder, device, dtype, wanted, lean)
    return _cast(model, part_dtypes)


def save(model: MultiViewDiffusion, folder: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write the loaded parts of a model as a folder that `load`, diffusers and transformers read.

    dtype: precision on disk, the model's own by default. Every file is written beside and renamed;
    `mvdream.json` goes first and comes last, so that an interrupted save is never taken for a model. Other
    files in the folder (a model card) stay. Raises UserError when the folder can't be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).unlink(missing_ok=True)
        for name, part in model.parts.items():
            if name != "text":
                config = diffusers_config(part)
                _write_part(folder, name, config, part.state_dict(), dtype)
        if model.text is not None:
            state = model.text.model.state_dict()
            weights = {stored_name("text", key): value for key, value in state.items()}
            config = model.text.model.config.to_dict()
            _write_part(folder, "text", config, weights, dtype)
            _write_tokenizer(folder / "tokenizer", model.text.tokenizer)
        _write_text(folder / CONFIG_FILE, model.config.model_dump_json(indent=1) + "\n")
    except (OSError, SafetensorError) as error:
        raise UserError(f"The model can't be saved to {folder}: {error}.") from error


def _load_unet(folder: Path, device: torch.device | str, dtype: torch.dtype, lean: bool) -> Any:
    home = part_folder(folder, "unet")

    def make(config: dict[str, Any]) -> nn.Module:
        unet = unet_module(config, lean)
        try:
            return make_multi_view(unet)
        except ValueError as error:
            raise UserError(f"The model file {home / 'config.json'} is broken: {error}.") from error

    unet = build_part(home, make)
    fill_from_file(unet, weights_file(folder, "unet"), device, dtype)
    return unet


def _load_vae(folder: Path, device: torch.device | str, dtype: torch.dtype, decoder: bool, lean: bool) -> Any:
    vae = build_part(part_folder(folder, "vae"), lambda config: vae_module(config, lean))
    ignore = () if decoder else DECODER
    if not decoder:
        vae.decoder = vae.post_quant_conv = None
    fill_from_file(vae, weights_file(folder, "vae"), device, dtype, ignore)
    return vae


def _load_text(folder: Path, device: torch.device | str, dtype: torch.dtype, lean: bool) -> TextEncoder:
    tokenizer = load_tokenizer(folder / "tokenizer")
    model = build_part(part_folder(folder, "text"), lambda config: text_module(config, lean))
    place_positions(model, device)
    fill_from_file(model, weights_file(folder, "text"), device, dtype, prefix=TEXT_MODEL)
    room = (model.config.vocab_size, model.config.max_position_embeddings)
    if len(tokenizer) > room[0] or tokenizer.length > room[1]:
        raise UserError(f"The model in {folder} is broken: its tokenizer does not fit its text encoder.")
    return TextEncoder(model, tokenizer)


def _with_tiny_encoder(
    model: MultiViewDiffusion,
    folder: Path,
    device: torch.device | str,
    dtype: torch.dtype,
    wanted: set[str],
    lean: bool,
) -> MultiViewDiffusion:
    if TINY_VAE in wanted:
        model.tiny_vae = load_tiny_encoder(folder, device, dtype, lean)
        if model.vae is not None:
            require_same_latents(model.tiny_vae, model.vae, folder)
    return model


def _load_foreign(
    folder: Path, device: torch.device | str, dtype: torch.dtype, wanted: set[str]
) -> MultiViewDiffusion:
    parts = {"vae" if part == VAE_ENCODER else part for part in wanted}
    plan = plan_folder(folder, model_name(folder))
    return assemble(
        plan, [part for part in PARTS if part in parts], device, dtype, () if "vae" in wanted else DECODER
    )


def _write_part(
    folder: Path, part: str, config: dict[str, Any], weights: dict[str, Tensor], dtype: torch.dtype | None
) -> None:
    home, name = folder / PLACES[part][0], PLACES[part][1]
    home.mkdir(exist_ok=True)

    def stored(value: Tensor) -> Tensor:
        return value.detach().to(dtype=dtype or value.dtype).contiguous()

    beside = home / (name + ".partial")
    save_file({key: stored(value) for key, value in weights.items()}, beside, metadata={"format": "pt"})
    os.replace(beside, home / name)
    _write_text(home / "config.json", json.dumps(config, indent=1, default=str) + "\n")


def _write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    files = tokenizer.files()
    for name in set(_TOKENIZER_FILES) - set(files):  # another tokenizer's would be taken for this one's
        (folder / name).unlink(missing_ok=True)
    for name, text in files.items():
        _write_text(folder / name, text)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    beside = path.with_name(path.name + ".partial")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def _cast(model: MultiViewDiffusion, dtypes: Mapping[str, torch.dtype] | None) -> MultiViewDiffusion:
    for name, dtype in (dtypes or {}).items():
        if (part := model.parts.get(name)) is not None:
            # Called on the base class: diffusers' own `to` warns of a precision that is wanted here.
            nn.Module.to(part, dtype=dtype)
    return model
