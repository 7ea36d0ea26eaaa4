# SPDX-License-Identifier: GPL-3.0-or-later
"""The multi-view diffusion model: MVDream out of stock diffusers parts.

`load`, `save`, `MultiViewDiffusion` and `NoiseSchedule` need torch and are imported on first use, so that
`backend.diffusion.config`, `.registry` and `.tokenizer` stay cheap for the service and the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.diffusion.model import MultiViewDiffusion
    from backend.diffusion.schedule import NoiseSchedule
    from backend.diffusion.storage import load, save

__all__ = ["MultiViewDiffusion", "NoiseSchedule", "load", "save"]

_HOMES = {"MultiViewDiffusion": "model", "NoiseSchedule": "schedule", "load": "storage", "save": "storage"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
