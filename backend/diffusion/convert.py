# SPDX-License-Identifier: GPL-3.0-or-later
"""Original MVDream checkpoint + YAML -> MultiViewDiffusion."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from backend.diffusion.model import MultiViewDiffusion
from backend.diffusion.original.config import OriginalModel, read_yaml
from backend.diffusion.original.keys import TEXT_PREFIX, unet_names, vae_names
from backend.diffusion.schedule import NoiseSchedule
from backend.diffusion.weights import name_some
from backend.errors import UserError

SCHEDULE_BUFFERS = {
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
    "posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
}  # fmt: skip


def convert(checkpoint: str | Path, config: str | Path, name: str | None = None) -> MultiViewDiffusion:
    """The model in an original checkpoint (`.safetensors`, or `.pt` of plain tensors): float32, on the CPU.

    config: the YAML that belongs to it. name: of the new model, the checkpoint's file name by default.
    The text tower (cond_stage_model) is not converted yet, so `.text` is None. float32 weights stay mapped
    from the file. Raises UserError naming the file and the missing, unexpected or misshapen keys.
    """
    checkpoint = Path(checkpoint)
    original = read_yaml(Path(config))
    weights = read_checkpoint(checkpoint)
    try:
        return convert_weights(original, weights, name or checkpoint.stem)
    except UserError as error:
        raise UserError(f"{checkpoint} does not fit {config}: {error}") from error


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by name, memory-mapped. Never runs code from a pickle. Raises UserError."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        data = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise UserError(f"There is no checkpoint {path}.") from None
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"The checkpoint {path} can't be read as plain tensors: {reason}") from error
    data = data.get("state_dict", data) if isinstance(data, dict) else data
    if not isinstance(data, dict) or not all(isinstance(value, Tensor) for value in data.values()):
        raise UserError(f"The checkpoint {path} is not a plain dictionary of tensors.")
    return data


def convert_weights(original: OriginalModel, weights: Mapping[str, Tensor], name: str) -> MultiViewDiffusion:
    """The same from tensors by name. Raises UserError naming the keys that are wrong."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**original.unet), AutoencoderKL(**original.vae)
    maps = [(unet, unet_names(original, unet.state_dict())), (vae, vae_names(original, vae.state_dict()))]
    known = {key for _, names in maps for key in names.values()}
    check_keys(known, weights)
    _check_schedule(original, weights)
    for module, names in maps:
        _fill(module, names, weights)
    config = original.model_config(name)
    # The text tower, cond_stage_model.*, is OpenCLIP in 2.1 and CLIP in 1.5; its conversion belongs here.
    return MultiViewDiffusion(config, unet, vae, text=None).freeze()


def check_keys(known: set[str], weights: Mapping[str, Tensor]) -> None:
    """Raises UserError unless all `known` keys are there, and else only schedule and text tower."""
    if missing := sorted(known - weights.keys()):
        raise UserError(f"it lacks {name_some(missing)}.")
    extra = weights.keys() - known - SCHEDULE_BUFFERS
    if surplus := sorted(key for key in extra if not key.startswith(TEXT_PREFIX)):
        raise UserError(f"unexpected {name_some(surplus)}.")


def _fill(module: nn.Module, names: Mapping[str, str], weights: Mapping[str, Tensor]) -> None:
    state = {}
    for key, wanted in module.state_dict().items():
        tensor = weights[names[key]].to(torch.float32)
        # 1x1 convolutions in the original autoencoder's attention are linear layers here.
        if tensor.ndim == 4 and wanted.ndim == 2 and tensor.shape[2:] == (1, 1):
            tensor = tensor[:, :, 0, 0]
        if tensor.shape != wanted.shape:
            raise UserError(
                f"{names[key]} has shape {list(tensor.shape)} where {list(wanted.shape)} is expected."
            )
        state[key] = tensor
    module.load_state_dict(state, strict=True, assign=True)


def _check_schedule(original: OriginalModel, weights: Mapping[str, Tensor]) -> None:
    stored = weights.get("alphas_cumprod")
    if stored is None:
        return
    ours = NoiseSchedule(original.schedule).alphas_cumprod
    if stored.shape != ours.shape or not torch.allclose(stored.float(), ours, rtol=1e-4, atol=1e-6):
        raise UserError("the noise schedule in alphas_cumprod is not the one the configuration describes.")
