# SPDX-License-Identifier: GPL-3.0-or-later
"""Computers made of a few files."""

import subprocess
import sys

import pytest

from mvdream_blender import hardware
from mvdream_blender.hardware import Computer

NODES = "sys/class/kfd/kfd/topology/nodes"
PROCESSOR = "cpu_cores_count 16\ngfx_target_version 0\n"


def card(version):
    return f"simd_count 96\ngfx_target_version {version}\nvendor_id 4098\n"


def computer(tmp_path, files, system="linux", machine="x86_64"):
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return Computer(system, machine, tmp_path, tmp_path / "Windows")


NVIDIA = {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05"}
RX_7900 = {f"{NODES}/0/properties": PROCESSOR, f"{NODES}/1/properties": card(110000)}


@pytest.mark.parametrize(
    ("files", "system", "machine", "platform"),
    [
        ({}, "linux", "x86_64", "cpu"),
        (NVIDIA, "linux", "x86_64", "cuda"),
        (NVIDIA | RX_7900, "linux", "x86_64", "cuda"),
        ({"usr/lib/wsl/lib/libcuda.so.1": ""}, "linux", "x86_64", "cuda"),
        # A program alone is no card.
        ({"usr/bin/nvidia-smi": ""}, "linux", "x86_64", "cpu"),
        (RX_7900, "linux", "x86_64", "rocm"),
        (RX_7900, "linux", "aarch64", "cpu"),
        # The Radeon in a Ryzen 7000, for which ROCm has no code.
        (
            {f"{NODES}/0/properties": PROCESSOR, f"{NODES}/1/properties": card(100306)},
            "linux",
            "x86_64",
            "cpu",
        ),
        ({f"{NODES}/0/properties": "damaged"}, "linux", "x86_64", "cpu"),
        ({"Windows/System32/nvcuda.dll": ""}, "win32", "AMD64", "cuda"),
        ({"Windows/System32/nvcuda.dll": ""}, "win32", "ARM64", "cpu"),
        ({}, "win32", "AMD64", "cpu"),
        ({}, "darwin", "arm64", "mps"),
        ({}, "darwin", "x86_64", "cpu"),
    ],
)
def test_the_best_platform(tmp_path, files, system, machine, platform):
    assert computer(tmp_path, files, system, machine).detect() == platform


@pytest.mark.parametrize(
    ("version", "name"), [(90010, "gfx90a"), (90402, "gfx942"), (110501, "gfx1151"), (120001, "gfx1201")]
)
def test_the_names_of_amd_cards(tmp_path, version, name):
    files = {f"{NODES}/0/properties": PROCESSOR, f"{NODES}/1/properties": card(version)}
    assert computer(tmp_path, files).amd_targets() == [name]


def test_the_users_choice_counts_but_on_a_mac(tmp_path):
    linux = computer(tmp_path, NVIDIA)
    assert [linux.platform_for(choice) for choice in ("auto", "cuda", "rocm", "cpu")] == [
        "cuda",
        "cuda",
        "rocm",
        "cpu",
    ]
    assert computer(tmp_path, {}, "darwin", "arm64").platform_for("cpu") == "mps"


def test_where_nvidia_smi_is(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware.shutil, "which", lambda name: None)
    assert computer(tmp_path, {}).nvidia_smi() is None
    windows = computer(tmp_path, {"Windows/System32/nvidia-smi.exe": ""}, "win32", "AMD64")
    assert windows.nvidia_smi() == str(tmp_path / "Windows/System32/nvidia-smi.exe")


def test_this_computer_is_looked_at_without_another_process(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    here = Computer()
    assert here.system == sys.platform
    assert here.machine
    assert here.detect() in ("cuda", "rocm", "mps", "cpu")
