# SPDX-License-Identifier: GPL-3.0-or-later
"""Cards found without PyTorch, from what systems really answer."""

import sys
from pathlib import Path

import pytest

from backend.doctor import cards
from backend.doctor.facts import Card

MB = 2**20


def test_nvidia_smi() -> None:
    text = (
        "NVIDIA H100 80GB HBM3, 580.159.04, 81559, 81079\n"
        "A card, with a comma, 470.1, [N/A], [Not Supported]\n"
        "Failed to initialize NVML\n"
    )
    assert cards.parse_smi(text) == [
        Card("NVIDIA", "NVIDIA H100 80GB HBM3", "580.159.04", 81559 * MB, 81079 * MB),
        Card("NVIDIA", "A card, with a comma", "470.1"),
    ]


@pytest.mark.parametrize(
    "version",
    [
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (nixbld@)",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  Wed Mar  6 00:00:00 UTC 2026",
    ],
)
def test_the_kernel_module(tmp_path: Path, version: str) -> None:
    (tmp_path / "version").write_text(version + "\nGCC version:  gcc version 15.3.0 (GCC)\n")
    gpu = tmp_path / "gpus" / "0000:00:06.0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 41\n")
    assert cards.read_proc(tmp_path) == [Card("NVIDIA", "NVIDIA H100 80GB HBM3", "580.159.04")]
    assert cards.read_proc(tmp_path / "nothing") == []


def test_amd_on_linux(tmp_path: Path) -> None:
    for name, vendor in (("card0", "0x1002"), ("card1", "0x10de"), ("card0-HDMI-A-1", "0x1002")):
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "device" / "vendor").write_text(vendor + "\n")
    (tmp_path / "card0" / "device" / "mem_info_vram_total").write_text("1000\n")
    (tmp_path / "card0" / "device" / "mem_info_vram_used").write_text("300\n")
    assert cards.read_drm(tmp_path) == [Card("AMD", "AMD GPU", "", 1000, 700)]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_tool_on_the_path_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'RTX 4090, 580.1, 24564, 20000'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cards, "_DRM", tmp_path)
    assert cards.find_cards()[0] == Card("NVIDIA", "RTX 4090", "580.1", 24564 * MB, 20000 * MB)
    tool.write_text("#!/bin/sh\nexit 9\n")  # the driver does not answer
    monkeypatch.setattr(cards, "_SMI", ("nvidia-smi",))
    monkeypatch.setattr(cards, "_PROC", tmp_path)
    assert cards.find_cards() == ()
