# SPDX-License-Identifier: GPL-3.0-or-later
"""training.json: with what, on what and how long a model was trained, and how good it came out."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from backend import __version__
from backend.training.datasets import MultiViewDataset
from backend.training.descriptions import VIEWS
from backend.training.loop import Outcome

RECORD = "training.json"


def write_record(
    folder: Path,
    arguments: dict[str, Any],
    data: Mapping[str, int],
    outcome: Outcome,
    figures: dict[str, float],
    device: torch.device,
    parts: Mapping[str, nn.Module],
) -> dict[str, Any]:
    """Writes `folder/training.json` and returns its content. data: how much there was of what."""
    record = {
        "version": __version__,
        "arguments": arguments,
        "data": dict(data),
        "steps": outcome.steps,
        "planned_steps": outcome.total,
        "seconds": round(outcome.seconds, 1),
        "loss": outcome.loss,
        "figures": {name: round(value, 5) for name, value in figures.items()},
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()},
        "bytes": {name: (folder / file).stat().st_size for name, file in _weights(folder).items()},
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.machine() + " CPU",
        "torch": torch.__version__,
    }
    part = folder / f"{RECORD}.part"
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(part, folder / RECORD)
    return record


def counted(train: MultiViewDataset, held: MultiViewDataset) -> dict[str, int]:
    """How much there is of the training set and of what is held back."""
    return {
        "objects": len(set(train.objects)),
        "sets": len(train),
        "images": len(train) * VIEWS,
        "captions": len(set(train.captions)),
        "held_back_objects": len(set(held.objects)),
        "held_back_sets": len(held),
    }


def _weights(folder: Path) -> dict[str, str]:
    return {
        path.parent.name: f"{path.parent.name}/{path.name}" for path in sorted(folder.glob("*/*.safetensors"))
    }
