# SPDX-License-Identifier: GPL-3.0-or-later
"""An original checkpoint, all parts in one file, as a plan of the new model."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from backend.diffusion.checkpoints import CheckpointFile
from backend.diffusion.clip_tokenizer import VOCABULARY_SIZE, ClipTokenizer
from backend.diffusion.config import ScheduleConfig
from backend.diffusion.original.config import OriginalModel, read_yaml
from backend.diffusion.original.inference import Shapes, infer
from backend.diffusion.original.keys import UNET_PREFIX, unet_names, vae_names
from backend.diffusion.original.text_tower import TextTower, text_tower
from backend.diffusion.part_modules import diffusers_config, text_config, text_module
from backend.diffusion.plan import Part, Plan, Source, meta_module
from backend.diffusion.schedule import NoiseSchedule
from backend.diffusion.weights import name_some
from backend.errors import UserError

# Functions of the schedule's configuration, which is checked against one of them and stored instead.
SCHEDULE_BUFFERS = {
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
    "posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
}  # fmt: skip
_CAMERA = UNET_PREFIX + "camera_embed."


def plan_original(path: Path, config: Path | None, name: str) -> Plan:
    """The model in an original checkpoint. config: its YAML, else inferred (see `original.inference`).

    Every key must have a place, or be known not to be needed. Raises UserError naming the file and the keys.
    """
    original = None if config is None else read_yaml(config)
    file = CheckpointFile(path)
    shapes = {key: info.shape for key, info in file.tensors.items()}
    _refuse_other_models(path, shapes)
    try:
        return _plan(original or infer(shapes, _schedule(file)), file, shapes, name)
    except UserError as error:
        subject = f"The checkpoint {path}"
        subject += " can't be converted" if config is None else f" does not fit {config}"
        raise UserError(f"{subject}: {error}") from error


def _plan(original: OriginalModel, file: CheckpointFile, shapes: Shapes, name: str) -> Plan:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    unet, vae = meta_module(UNet2DConditionModel, original.unet), meta_module(AutoencoderKL, original.vae)
    names = {
        "unet": unet_names(original, unet.state_dict()),
        "vae": vae_names(original, vae.state_dict()),
    }
    tower = text_tower(original.text, shapes)
    _check_context(tower, original.unet["cross_attention_dim"])
    known = {key for keys in names.values() for key in keys.values()}
    unneeded = set(SCHEDULE_BUFFERS)
    if tower is not None:
        known |= {key for key, _ in tower.names.values()}
        unneeded |= tower.unneeded
    check_keys(known, unneeded, set(shapes))
    _check_schedule(original, file)
    parts = {
        part: Part(
            part,
            module,
            diffusers_config(module),
            {ours: Source(key) for ours, key in names[part].items()},
            file,
            flatten=part == "vae",  # its attention is made of linear layers here
        )
        for part, module in (("unet", unet), ("vae", vae))
    }
    if tower is not None:
        parts["text"] = _text_part(tower, file)
    tokenizer = None if tower is None else _tokenizer(tower)
    return Plan(original.model_config(name), parts, tokenizer)


def _check_context(tower: TextTower | None, wanted: int) -> None:
    if tower is not None and tower.config["hidden_size"] != wanted:
        raise UserError(
            f"its text tower is {tower.config['hidden_size']} wide, while its UNet reads text {wanted} wide."
        )


def _text_part(tower: TextTower, file: CheckpointFile) -> Part:
    module = text_module(tower.config)
    names = {ours: Source(*tower.names[ours.removeprefix("text_model.")]) for ours in module.state_dict()}
    return Part("text", module, text_config(module), names, file)


def _tokenizer(tower: TextTower) -> ClipTokenizer:
    if tower.config["vocab_size"] != VOCABULARY_SIZE:
        raise UserError(
            f"its text tower knows {tower.config['vocab_size']} tokens, where CLIP's vocabulary has"
            f" {VOCABULARY_SIZE}."
        )
    return ClipTokenizer.standard(tower.pad, tower.config["max_position_embeddings"])


def check_keys(known: set[str], unneeded: set[str], stored: set[str]) -> None:
    """Raises UserError unless all `known` keys are in `stored`, and nothing else but `unneeded` ones."""
    if missing := sorted(known - stored):
        raise UserError(f"it lacks {name_some(missing)}.")
    if surplus := sorted(stored - known - unneeded):
        raise UserError(f"unexpected {name_some(surplus)}.")


def _refuse_other_models(path: Path, shapes: Shapes) -> None:
    if not any(key.startswith(UNET_PREFIX) for key in shapes):
        raise UserError(
            f"The checkpoint {path} is not one of MVDream: none of its tensors is called"
            f" {UNET_PREFIX}..., but"
            f" for instance {name_some(sorted(shapes)[:2])}."
        )
    if not any(key.startswith(_CAMERA) for key in shapes):
        raise UserError(
            f"The checkpoint {path} is a plain Stable Diffusion model: it has no camera network"
            f" ({_CAMERA}*), so"
            " it can't make views that belong together. Use an MVDream checkpoint, for instance"
            " sd-v2.1-base-4view.pt."
        )


def _schedule(file: CheckpointFile) -> ScheduleConfig:
    """The scaled-linear schedule between the first and last stored beta; without betas, the published one."""
    betas, usual = _buffer(file, "betas"), ScheduleConfig()
    if betas is None:
        return usual
    ends = betas[[0, -1]].double()
    published = torch.tensor([usual.linear_start, usual.linear_end], dtype=torch.float64)
    if len(betas) == usual.steps and torch.allclose(ends, published, rtol=_rounding(file, "betas"), atol=0):
        return usual
    start, end = (float(f"{beta:.6g}") for beta in ends.tolist())
    if not 0 < start < end < 1:
        raise UserError("the noise schedule in betas does not rise from above 0 to below 1.")
    return ScheduleConfig(linear_start=start, linear_end=end, steps=len(betas))


def _check_schedule(original: OriginalModel, file: CheckpointFile) -> None:
    stored = _buffer(file, "alphas_cumprod")
    if stored is None:
        return
    ours = NoiseSchedule(original.schedule).alphas_cumprod
    rounding = _rounding(file, "alphas_cumprod")
    if stored.shape != ours.shape or not torch.allclose(stored, ours, rtol=rounding, atol=rounding / 100):
        raise UserError("the noise schedule in alphas_cumprod is not the one the configuration describes.")


def _buffer(file: CheckpointFile, key: str) -> Tensor | None:
    info = file.tensors.get(key)
    if info is None:
        return None
    if len(info.shape) != 1 or not info.shape[0] or not info.is_float:
        raise UserError(f"{key} is not a list of floating point numbers.")
    return file.read(key).float()


def _rounding(file: CheckpointFile, key: str) -> float:
    """Relative error to allow in a stored number: files of 16 bits have the schedule in 16 bits too."""
    return 1e-4 if file.tensors[key].dtype in (torch.float32, torch.float64) else 1e-2
