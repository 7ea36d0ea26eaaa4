# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device a job runs on, and in which precision."""

from __future__ import annotations

import torch

from backend.errors import UserError


def pick_device(name: str) -> torch.device:
    """The device called `name`: "auto" (the best there is), "cpu", "cuda", "cuda:N" or "mps".

    Raises UserError when this machine does not have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"The device {name!r} is not there: PyTorch sees no CUDA GPU. Choose 'auto' or 'cpu'."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"The device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA GPU(s),"
            " counted from cuda:0."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(
            "The device 'mps' is not there: this is no Mac with an Apple GPU. Choose 'auto' or 'cpu'."
        )
    return device


def pick_dtype(device: torch.device, image_size: int) -> torch.dtype:
    """Precision of the networks: bfloat16 where a GPU has it and the model is large enough to gain."""
    if device.type == "cuda" and image_size >= 256 and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float32
