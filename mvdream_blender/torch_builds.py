# SPDX-License-Identifier: GPL-3.0-or-later
"""Which builds of PyTorch there are, where they come from and what they need. Never imports bpy or torch.

PyPI has one build for each system: for processors only on Windows, with all of CUDA's libraries on Linux.
The others are on PyTorch's own index, one folder each.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import MVDreamError
from .hardware import TITLES, Computer, Platform

INDEX = "https://download.pytorch.org/whl"
# The folders that hold torch 2.13 are cpu, cu126, cu129, cu130, cu132, rocm7.1 and rocm7.2; stable are
# CUDA 12.6 and 13.0 and ROCm 7.2 (PyTorch's RELEASE.md). To be looked up anew whenever torch is pinned anew:
# 2.15 is to come without cu126 (pytorch/pytorch#190385).
CUDA, OLD_CUDA, ROCM, CPU = "cu130", "cu126", "rocm7.2", "cpu"
# CUDA 13 needs Turing and driver 580; CUDA 12.6 knows cards from Maxwell to Hopper and takes driver 525.
OLDEST_CARD, NEWEST_OLD_CARD, OLDEST_DRIVER = (7, 5), (9, 0), 580

GB = 10**9
# What is installed, plus what pip downloads twice: into its cache and beside the environment.
# cpu, measured on Linux: 1.5 GB + 2 x 0.3 GB.
# cuda, measured on Linux: torch with CUDA's libraries 4.8 GB, the rest 0.9 GB, 2 x 2.0 GB. The build for
# Windows is one file of 1.9 GB with the same libraries.
# rocm: one file of 6.2 GB, twice, and about 18 GB unpacked (estimated: such libraries shrink to a third).
NEEDED_BYTES: dict[Platform, int] = {"cpu": 3 * GB, "mps": 3 * GB, "cuda": 10 * GB, "rocm": 32 * GB}


@dataclass(frozen=True)
class TorchBuild:
    """One build.

    Attributes:
        platform: what it is for.
        tag: its name in the index and in its version; "" for the one on PyPI.
    """

    platform: Platform
    tag: str

    @property
    def url(self) -> str:
        return f"{INDEX}/{self.tag}"

    def requirement(self, requirements: Path) -> str | None:
        """The version pinned in a list of packages, of this build and no other; None where nothing is pinned.

        The tag is part of it, for the user's pip may be set up for more indexes, and "2.13.0+cu130" beats
        "2.13.0+cpu", which beats "2.13.0". The list itself is met by each of them.
        """
        pinned = re.search(r"^torch==([\w.]+)", requirements.read_text(encoding="utf-8"), re.MULTILINE)
        return f"torch=={pinned[1]}+{self.tag}" if pinned and self.tag else None


def build_for(platform: Platform, computer: Computer, smi: str = "") -> TorchBuild:
    """The build for a platform.

    Args:
        smi: what nvidia-smi said to hardware.SMI_QUERY; "" where it was not asked or failed.

    Raises:
        MVDreamError: there is none for this computer.
    """
    if platform == "mps" or computer.system == "darwin":
        return TorchBuild(platform, "")
    if platform == "rocm":
        if computer.system != "linux" or not computer.is_x86:
            raise _no_build(platform, "Linux on x86-64 only")
        return TorchBuild(platform, ROCM)
    if platform == "cuda":
        if computer.system == "win32" and not computer.is_x86:
            raise _no_build(platform, "Windows on x86-64 and for Linux")
        old = computer.is_x86 and _wants_old_cuda(_cards(smi.splitlines()))
        return TorchBuild(platform, OLD_CUDA if old else CUDA)
    return TorchBuild(platform, CPU)


def _no_build(platform: Platform, where: str) -> MVDreamError:
    return MVDreamError(
        f"There is a PyTorch for {TITLES[platform]} for {where}: "
        'set Compute to "Automatic" or "CPU only" in the add-on\'s preferences, then install again.',
        fix="preferences",
    )


def _cards(lines: Iterable[str]) -> list[tuple[tuple[int, int], int]]:
    """(compute capability, driver's main version) of each card."""
    found = (re.fullmatch(r"\s*(\d+)\.(\d+), (\d+)\.[\d.]+\s*", line) for line in lines)
    return [((int(card[1]), int(card[2])), int(card[3])) for card in found if card]


def _wants_old_cuda(cards: list[tuple[tuple[int, int], int]]) -> bool:
    if not cards:
        return False
    newest, driver = max(cards)
    return newest < OLDEST_CARD or (driver < OLDEST_DRIVER and newest <= NEWEST_OLD_CARD)
