# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks PyTorch about itself; runs in a child process, and so may fail as it likes."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict

from backend.doctor.facts import Device, Torch


def main(_arguments: list[str]) -> None:
    """Prints a `Torch` as JSON."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        devices = _devices() if torch.cuda.is_available() else []
    complaint = ""
    if (torch.version.cuda or torch.version.hip) and not devices:
        complaint = _why_not() or next((str(warning.message) for warning in caught), "")
    if torch.backends.mps.is_available():
        devices.append(_apple())
    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    found = Torch(
        str(torch.__version__),
        torch.version.cuda or "",
        torch.version.hip or "",
        str(cudnn or ""),
        tuple(devices),
        " ".join(complaint.split())[:400],
    )
    sys.stdout.write(json.dumps(asdict(found)) + "\n")


def _devices() -> list[Device]:
    import torch

    from backend.devices import is_built_for

    found = []
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        properties = torch.cuda.get_device_properties(device)
        capability = f"{properties.major}.{properties.minor}"
        if torch.version.hip:
            capability = properties.gcnArchName.split(":")[0]
        built = is_built_for(device)
        free = torch.cuda.mem_get_info(device)[0] if built else 0
        found.append(
            Device(
                f"cuda:{index}",
                properties.name,
                properties.total_memory,
                free,
                capability,
                built,
                _precision(device),
            )
        )
    return found


def _apple() -> Device:
    import torch

    from backend.memory.free import free_memory

    device = torch.device("mps")
    total = torch.mps.recommended_max_memory()
    return Device("mps", "Apple GPU", total, free_memory(device), "", True, _precision(device))


def _precision(device: object) -> str:
    import torch

    from backend.devices import HALF_PRECISION_FROM, PRECISIONS, pick_dtype

    assert isinstance(device, torch.device)
    picked = pick_dtype(device, HALF_PRECISION_FROM)
    return next(name for name, dtype in PRECISIONS.items() if dtype == picked)


def _why_not() -> str:
    import torch

    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error)
    return ""
