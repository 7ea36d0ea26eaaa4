# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the tensors of a file into a module, or says by name which ones do not fit."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from backend.errors import UserError

log = logging.getLogger(__name__)


def fill_from_file(
    module: nn.Module,
    path: Path,
    device: torch.device | str,
    dtype: torch.dtype,
    ignore: tuple[str, ...] = (),
    prefix: str = "",
) -> None:
    """Give `module` (on the meta device) the weights of a safetensors file: all of them and nothing else.

    ignore: beginnings of keys in the file that are skipped. prefix: what keys in the file begin with, where
    the module's own may or may not. Raises UserError naming the file, and keys that are missing, surplus, or
    hold values that are no numbers.
    """
    state = module.state_dict()
    names = {prefix + key.removeprefix(prefix): key for key in state}
    weights: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            stored = {key for key in file.keys() if not (ignore and key.startswith(ignore))}  # noqa: SIM118
            _check_same(path, set(names), stored)
            for key, name in names.items():
                tensor = file.get_tensor(key)
                if tensor.shape != state[name].shape:
                    shapes = f"{list(tensor.shape)}, not {list(state[name].shape)}"
                    raise UserError(f"The model file {path} does not fit its config.json: {key} is {shapes}.")
                weights[name] = _placed(tensor, torch.device(device), dtype)
        _check_finite(path, weights)
        module.load_state_dict(weights, strict=True, assign=True)
    except FileNotFoundError:
        raise UserError(f"The model is incomplete: {path} is missing.") from None
    except torch.OutOfMemoryError:
        raise
    except (OSError, SafetensorError, RuntimeError) as error:
        log.debug("%s: %s", path, error)
        raise UserError(f"The model file {path} is broken: it is cut off, or can't be read.") from error


def _placed(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Moved and cast; by CUDA, which casts faster than a processor. MPS has not every type of a file."""
    return tensor.to(device).to(dtype) if device.type == "cuda" else tensor.to(device=device, dtype=dtype)


def name_some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _check_same(path: Path, expected: set[str], stored: set[str]) -> None:
    if missing := sorted(expected - stored):
        raise UserError(f"The model file {path} is broken: it lacks {name_some(missing)}.")
    if surplus := sorted(stored - expected):
        raise UserError(
            f"The model file {path} is broken: its config.json has no place for {name_some(surplus)}."
        )


def _check_finite(path: Path, weights: dict[str, Tensor]) -> None:
    """One such value makes every picture black. A sum has it too; all sums are looked at by one transfer."""
    floating = {name: tensor for name, tensor in weights.items() if tensor.is_floating_point()}
    if not floating:
        return
    sums = torch.stack([tensor.sum(dtype=torch.float32) for tensor in floating.values()]).tolist()
    bad = sorted(name for name, total in zip(floating, sums, strict=True) if not math.isfinite(total))
    if bad:
        raise UserError(
            f"The model file {path} is spoilt: {name_some(bad)} holds values that are not finite (NaN or"
            " infinity)."
        )
