# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints from which a training goes on exactly as if it had never stopped."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from backend.errors import UserError

CHECKPOINT = "checkpoint.pt"


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """States of the random generators that training draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Puts back what `random_state` gave. A state of another kind of device is left out."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)


def write_checkpoint(folder: Path, content: dict[str, Any]) -> None:
    """Writes `folder/checkpoint.pt` beside and renames it, so that an interrupted write leaves the old one.

    Raises:
        UserError: the disk is full or the folder not writable.
    """
    part = folder / f"{CHECKPOINT}.part"
    try:
        torch.save(content, part)
        os.replace(part, folder / CHECKPOINT)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise UserError(
            f"The checkpoint cannot be written to {folder} ({error}). Free some space there."
        ) from error


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """Reads `folder/checkpoint.pt` onto the CPU.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise UserError(
            f"There is no {CHECKPOINT} in {folder} to resume from. Leave --resume away to begin anew."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} is damaged. Leave --resume away to begin anew.") from error
