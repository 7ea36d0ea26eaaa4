# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers all facts, the slow ones side by side."""

from __future__ import annotations

import os
import platform
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend import __version__
from backend.doctor.cards import find_cards
from backend.doctor.encodings import choose, find_encodings
from backend.doctor.facts import Computer, Device, Facts, Torch
from backend.doctor.packages import examine_packages
from backend.doctor.places import examine_places, find_models
from backend.doctor.probing import ask, run_tool
from backend.memory.free import available_ram, total_ram


def examine_facts() -> Facts:
    """Everything about this machine that `diagnose` wants to know."""
    with ThreadPoolExecutor(4) as pool:
        torch_asked = pool.submit(ask_torch)
        packages_asked = pool.submit(examine_packages)
        cards_asked = pool.submit(find_cards)
        models, missing, folder = find_models()
        torch = torch_asked.result()
        on_gpu = torch is not None and any(device.built_for for device in torch.devices)
        encodings = find_encodings(on_gpu)
        return Facts(
            examine_computer(),
            cards_asked.result(),
            torch,
            packages_asked.result(),
            encodings,
            choose(encodings, on_gpu),
            models,
            missing,
            examine_places(folder),
        )


def ask_torch() -> Torch | None:
    """What PyTorch says of itself; None where it is missing or broken."""
    answer = ask("backend.doctor.torch_probe")
    found = next((value for value in reversed(answer.values) if isinstance(value, dict)), None)
    if answer.error or found is None:
        return None
    return Torch(**{**found, "devices": tuple(Device(**device) for device in found["devices"])})


def examine_computer() -> Computer:
    """The machine itself."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    version = sys.version_info
    return Computer(
        platform.platform(terse=True),
        platform.machine(),
        _processor(),
        cores,
        total_ram(),
        available_ram(),
        (version.major, version.minor, version.micro),
        sys.executable,
        __version__,
    )


def _processor() -> str:
    if sys.platform == "darwin":
        said = run_tool("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
        return (said or "").strip() or platform.processor()
    if sys.platform.startswith("linux"):
        try:
            text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()
