# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds graphics cards without PyTorch, to be able to say that it is PyTorch that does not see them."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

from backend.doctor.facts import Card
from backend.doctor.probing import run_tool

_QUERY = ("--query-gpu=name,driver_version,memory.total,memory.free", "--format=csv,noheader,nounits")
_SMI = ("nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi")
_PROC = Path("/proc/driver/nvidia")
_DRM = Path("/sys/class/drm")
_AMD_VENDOR = "0x1002"


def find_cards() -> tuple[Card, ...]:
    """NVIDIA's, AMD's (Linux) and Apple's cards."""
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return (
        *(_ask_nvidia() or read_proc(_PROC)),
        *read_drm(_DRM),
        *([Card("Apple", "Apple GPU")] if apple else []),
    )


def parse_smi(text: str) -> list[Card]:
    """Cards from a line each: name, driver, MiB, free MiB; sizes may be "[N/A]"."""
    cards = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.rsplit(",", 3)]
        if len(parts) == 4 and parts[0]:
            total, free = (int(part) * 2**20 if part.isdigit() else 0 for part in parts[2:])
            cards.append(Card("NVIDIA", parts[0], parts[1], total, free))
    return cards


def read_proc(folder: Path) -> list[Card]:
    """What the NVIDIA kernel module says on Linux, where nvidia-smi is missing or fails."""
    driver = re.search(r"Kernel Module\s+(?:for \S+\s+)?(\d+[\d.]+)", _read(folder / "version"))
    cards = []
    for file in sorted(folder.glob("gpus/*/information")):
        model = re.search(r"^Model:\s*(.+?)\s*$", _read(file), re.MULTILINE)
        cards.append(Card("NVIDIA", model[1] if model else "NVIDIA GPU", driver[1] if driver else ""))
    return cards


def read_drm(folder: Path) -> list[Card]:
    """AMD's cards on Linux."""
    cards = []
    for device in sorted(folder.glob("card*/device")):
        if re.fullmatch(r"card\d+", device.parent.name) and _read(device / "vendor") == _AMD_VENDOR:
            name = _read(device / "product_name") or "AMD GPU"
            total, used = (_read(device / f"mem_info_vram_{kind}") for kind in ("total", "used"))
            memory = int(total) if total.isdigit() else 0
            free = memory - int(used) if memory and used.isdigit() else 0
            cards.append(Card("AMD", name, "", memory, free))
    return cards


def _ask_nvidia() -> list[Card]:
    for program in _SMI:
        said = run_tool(program, *_QUERY)
        if said is not None:
            return parse_smi(said)
    return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
