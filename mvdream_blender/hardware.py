# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine can compute on, seen from a few files. Never imports bpy or torch, never waits.

It decides which build of PyTorch is fetched, so it asks for the driver and not for the card: a card without
its driver is of no use to PyTorch, and the driver's files are there as soon as it is installed.
"""

import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Platform = Literal["cuda", "rocm", "mps", "cpu"]
Compute = Literal["auto", "cuda", "rocm", "cpu"]

TITLES: dict[Platform, str] = {
    "cuda": "NVIDIA cards (CUDA)",
    "rocm": "AMD cards (ROCm)",
    "mps": "Apple GPUs",
    "cpu": "the processor",
}
# Those for which the ROCm build of torch 2.13 brings rocBLAS; without it the first product of matrices fails.
# The small Radeon inside most Ryzen processors is not among them.
ROCM_TARGETS = {
    *("gfx908", "gfx90a", "gfx942", "gfx950"),
    *("gfx1030", "gfx1100", "gfx1101", "gfx1102", "gfx1150", "gfx1151", "gfx1200", "gfx1201"),
}
# One line a card: its compute capability and the driver's version, as in "8.6, 580.95.05".
SMI_QUERY = ("--query-gpu=compute_cap,driver_version", "--format=csv,noheader")


def _machine() -> str:
    # platform.machine() asks WMI on Windows, which may take seconds.
    return os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")


@dataclass(frozen=True)
class Computer:
    """Where to look.

    Attributes:
        system: as in sys.platform.
        machine: the processor's name, such as "x86_64", "AMD64" or "arm64".
        root: the folder that holds /proc and /sys.
        windows: the folder of Windows.
    """

    system: str = sys.platform
    machine: str = field(default_factory=_machine)
    root: Path = Path("/")
    windows: Path = field(default_factory=lambda: Path(os.environ.get("SYSTEMROOT", r"C:\Windows")))

    @property
    def is_x86(self) -> bool:
        return self.machine.lower() in ("x86_64", "amd64")

    def detect(self) -> Platform:
        """The best platform here; "cpu" where no usable card is found."""
        if self.system == "darwin":
            return "mps" if self.machine == "arm64" else "cpu"
        if self._has_nvidia():
            return "cuda"
        if self.system == "linux" and self.is_x86 and not ROCM_TARGETS.isdisjoint(self.amd_targets()):
            return "rocm"
        return "cpu"

    def platform_for(self, compute: Compute) -> Platform:
        """The platform that a choice of the user's asks for; a Mac has one build for everything."""
        return self.detect() if compute == "auto" or self.system == "darwin" else compute

    def amd_targets(self) -> list[str]:
        """AMD's cards as the compiler calls them, such as "gfx1100", from the kernel's list for ROCm."""
        found = []
        for file in sorted(self.root.glob("sys/class/kfd/kfd/topology/nodes/*/properties")):
            try:
                number = re.search(r"^gfx_target_version (\d+)$", file.read_text(), re.MULTILINE)
            except OSError:
                continue
            # Processors are listed, too, with 0. 110501 is gfx1151, 90010 is gfx90a.
            if number and int(number[1]):
                version = int(number[1])
                found.append(f"gfx{version // 10_000}{version // 100 % 100:x}{version % 100:x}")
        return found

    def nvidia_smi(self) -> str | None:
        """The program that NVIDIA's driver brings, None where it is not found."""
        places = (self.windows / "System32" / "nvidia-smi.exe", self.root / "usr/lib/wsl/lib/nvidia-smi")
        return shutil.which("nvidia-smi") or next((str(place) for place in places if place.is_file()), None)

    def _has_nvidia(self) -> bool:
        if self.system == "win32":
            # There is no build with CUDA for Windows on ARM.
            return self.is_x86 and (self.windows / "System32" / "nvcuda.dll").is_file()
        # The kernel module tells of a card with a driver; nvidia-smi alone may be left over from another one.
        signs = ("proc/driver/nvidia/version", "usr/lib/wsl/lib/libcuda.so.1")
        return any((self.root / sign).exists() for sign in signs)
