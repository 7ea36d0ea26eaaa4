# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders that others made: `ashawkey/mvdream-sd2.1-diffusers`, and diffusers' layout without
mvdream.json.

The former's UNet is a class of its own with the original's key names; everything else in it is diffusers'.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backend.diffusion.attention import make_multi_view
from backend.diffusion.checkpoints import CheckpointFile
from backend.diffusion.clip_tokenizer import ClipTokenizer
from backend.diffusion.config import (
    CONFIG_FILE,
    PUBLISHED_CAPTION_SUFFIX,
    PUBLISHED_NEGATIVE_PROMPT,
    ModelConfig,
    ScheduleConfig,
    read_config,
)
from backend.diffusion.file_kinds import is_shard, shard_sentence
from backend.diffusion.inspection import read_json
from backend.diffusion.original.config import OriginalModel, parse_unet
from backend.diffusion.original.inference import infer_unet
from backend.diffusion.original.keys import UNET_PREFIX, unet_names
from backend.diffusion.original.layout import check_keys
from backend.diffusion.part_modules import TEXT_MODEL, diffusers_config, stored_name, text_config, text_module
from backend.diffusion.plan import Part, Plan, Source, meta_module
from backend.diffusion.tokenizer import Tokenizer, WordTokenizer
from backend.errors import UserError

INDEX_FILE = "model_index.json"
_ENDINGS = (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin")
# Names that older releases of diffusers gave the autoencoder's attention.
_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
# What a scheduler_config.json means that does not say otherwise, as diffusers' schedulers take it...
_SCHEDULER_DEFAULTS: dict[str, Any] = {
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
}
# ...and what this project computes with.
_SCHEDULER_NEEDS: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
}
_POSITIONS = "embeddings.position_ids"
_TEXT_UNNEEDED = {_POSITIONS, TEXT_MODEL + _POSITIONS, "text_projection.weight"}


def is_foreign(folder: Path) -> bool:
    """Whether `folder` is a diffusers pipeline that is not (or no longer) one of this project's models."""
    return (folder / INDEX_FILE).exists() and not (folder / CONFIG_FILE).exists()


def plan_folder(folder: Path, name: str) -> Plan:
    """The model in a folder. Raises UserError naming the file that is missing, broken or unsuitable."""
    if not (folder / "unet").is_dir():
        raise UserError(f"{folder} is no model folder: it has no unet/.")
    unet = _unet(folder / "unet")
    parts = {"unet": unet, "vae": _vae(folder / "vae")}
    tokenizer = None
    if (folder / "text_encoder").is_dir():
        parts["text"] = _text(folder / "text_encoder")
        tokenizer = load_tokenizer(folder / "tokenizer")
    return Plan(_model_config(folder, name, parts), parts, tokenizer)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of either kind in a `tokenizer/` folder. Raises UserError naming a broken file."""
    return ClipTokenizer.load(folder) if ClipTokenizer.is_in(folder) else WordTokenizer.load(folder)


def _unet(folder: Path) -> Part:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    config = read_json(folder / "config.json")
    file = CheckpointFile(_weights(folder))
    if "input_blocks.0.0.weight" not in file.tensors:
        module = _module(folder, UNet2DConditionModel, config)
        try:
            make_multi_view(module)
        except ValueError as error:
            raise UserError(f"The model in {folder.parent} is not one of MVDream: {error}.") from None
        return _part("unet", folder, module, {key: key for key in module.state_dict()}, file, set())
    if config.get("ip_dim"):
        raise UserError(
            f"The model in {folder.parent} is ImageDream, which starts from a picture: not supported."
        )
    try:
        heads = {
            k: config[k] for k in ("num_heads", "num_head_channels") if config.get(k, -1) not in (None, -1)
        }
        shapes = {key: info.shape for key, info in file.tensors.items()}
        options = {**config, **infer_unet(shapes, heads)}
        unet = parse_unet(options)
    except (UserError, KeyError, TypeError) as error:
        raise UserError(f"The model in {folder} can't be used: {error}") from error
    module = meta_module(UNet2DConditionModel, unet)
    original = OriginalModel(unet, {}, 0, ScheduleConfig())
    names = {
        ours: key.removeprefix(UNET_PREFIX) for ours, key in unet_names(original, module.state_dict()).items()
    }
    return _part("unet", folder, module, names, file, set())


def _vae(folder: Path) -> Part:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    file = CheckpointFile(_weights(folder))
    module = _module(folder, AutoencoderKL, read_json(folder / "config.json"))
    names = {key: _vae_name(key, file) for key in module.state_dict()}
    return _part("vae", folder, module, names, file, set())


def _vae_name(key: str, file: CheckpointFile) -> str:
    if key in file.tensors or ".attentions." not in key:
        return key
    for new, old in _OLD_ATTENTION.items():
        key = key.replace(f".{new}.", f".{old}.")
    return key


def _text(folder: Path) -> Part:
    config, file = read_json(folder / "config.json"), CheckpointFile(_weights(folder))
    try:
        module = text_module(config)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"The model file {folder / 'config.json'} is broken: {error}.") from error
    # Recent transformers write names without the prefix.
    names = {key: key.removeprefix(TEXT_MODEL) for key in module.state_dict()}
    if any(key.startswith(TEXT_MODEL) for key in file.tensors):
        names = {key: stored_name("text", key) for key in names}
    return _part("text", folder, module, names, file, _TEXT_UNNEEDED)


def _part(
    name: str, folder: Path, module: Any, names: Mapping[str, str], file: CheckpointFile, unneeded: set[str]
) -> Part:
    try:
        check_keys(set(names.values()), unneeded, set(file.tensors))
        config = text_config(module) if name == "text" else diffusers_config(module)
        sources = {ours: Source(key) for ours, key in names.items()}
        return Part(name, module, config, sources, file, flatten=name == "vae")
    except UserError as error:
        raise UserError(f"{file.path} does not fit the config.json beside it: {error}") from error


def _module(folder: Path, kind: Any, config: dict[str, Any]) -> Any:
    try:
        return meta_module(kind.from_config, {"config": config})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"The model file {folder / 'config.json'} is broken: {error}.") from error


def _weights(folder: Path) -> Path:
    stems = ("model", "pytorch_model") if folder.name == "text_encoder" else ("diffusion_pytorch_model",)
    for ending in _ENDINGS:
        for stem in stems:
            if (folder / (stem + ending)).exists():
                return folder / (stem + ending)
    if shard := next((path for path in sorted(folder.glob("*")) if is_shard(path)), None):
        raise UserError(shard_sentence(shard))
    raise UserError(f"The model is incomplete: {folder / stems[0]}.safetensors is missing.")


def _model_config(folder: Path, name: str, parts: Mapping[str, Part]) -> ModelConfig:
    if (folder / CONFIG_FILE).exists():
        return read_config(folder).model_copy(update={"name": name})
    vae, unet = parts["vae"].config, parts["unet"].config
    side = _side(unet["sample_size"] or 32, folder / "unet") * 2 ** (len(vae["block_out_channels"]) - 1)
    schedule = _schedule(folder)
    try:
        return ModelConfig(
            name=name,
            title=name,
            image_size=side,
            negative_prompt=PUBLISHED_NEGATIVE_PROMPT,
            caption_suffix=PUBLISHED_CAPTION_SUFFIX,
            schedule=schedule,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UserError(f"The model in {folder} can't be used: {where}: {problem['msg']}.") from error


def _side(size: object, folder: Path) -> int:
    """A sample_size, which diffusers takes as a side or as height and width."""
    sides: list[Any] = list(size) if isinstance(size, list | tuple) else [size]
    if any(type(side) is not int or side <= 0 or side != sides[0] for side in sides):
        raise UserError(
            f"The model file {folder / 'config.json'} has the sample_size {size}, which is not supported:"
            " images are square, so it is one number, or twice the same."
        )
    return int(sides[0])


def _schedule(folder: Path) -> ScheduleConfig:
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.exists():
        return ScheduleConfig()
    data = read_json(path)
    data = _SCHEDULER_DEFAULTS | data
    for option, value in _SCHEDULER_NEEDS.items():
        if data[option] != value:
            said = repr(data[option])[:60]
            raise UserError(f"{path}: {option} {said} is not supported, only {value!r}.")
    try:
        return ScheduleConfig(
            linear_start=data["beta_start"], linear_end=data["beta_end"], steps=data["num_train_timesteps"]
        )
    except ValidationError as error:
        raise UserError(f"The model file {path} is broken: {error.errors()[0]['msg']}.") from error
