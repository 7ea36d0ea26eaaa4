# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of PyTorch is fetched for which computer."""

from pathlib import Path

import pytest

from mvdream_blender.errors import MVDreamError
from mvdream_blender.hardware import Computer
from mvdream_blender.torch_builds import NEEDED_BYTES, TorchBuild, build_for

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "backend.txt"
LINUX, WINDOWS = Computer("linux", "x86_64"), Computer("win32", "AMD64")


@pytest.mark.parametrize(
    ("smi", "tag"),
    [
        ("", "cu130"),
        ("8.9, 580.95.05\n", "cu130"),
        ("8.9, 591.44\n", "cu130"),
        # A GTX 1080: CUDA 13 has no code for it.
        ("6.1, 580.95.05\n", "cu126"),
        # An old driver, which CUDA 12.6 takes.
        ("8.6, 551.23\n", "cu126"),
        ("9.0, 570.10\n", "cu126"),
        # CUDA 12.6 does not know Blackwell: only a new driver helps, and for that one cu130 is right.
        ("12.0, 572.16\n", "cu130"),
        # The newest of several cards decides.
        ("6.1, 580.95.05\n8.6, 580.95.05\n", "cu130"),
        ("[N/A], 580.95.05\n", "cu130"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "cu130"),
    ],
)
def test_cuda_by_card_and_driver(smi, tag):
    assert build_for("cuda", WINDOWS, smi) == TorchBuild("cuda", tag)


def test_the_old_cuda_is_for_x86_only():
    # There it has code for servers' cards alone.
    assert build_for("cuda", Computer("linux", "aarch64"), "8.6, 551.23").tag == "cu130"


@pytest.mark.parametrize(
    ("platform", "computer"),
    [
        ("rocm", WINDOWS),
        ("rocm", Computer("linux", "aarch64")),
        ("cuda", Computer("win32", "ARM64")),
    ],
)
def test_builds_that_do_not_exist(platform, computer):
    with pytest.raises(MVDreamError, match="set Compute to") as caught:
        build_for(platform, computer)
    assert caught.value.fix == "preferences"


def test_the_pinned_version_with_the_tag():
    pinned = next(line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("torch=="))
    assert build_for("rocm", LINUX).requirement(REQUIREMENTS) == f"{pinned}+rocm7.2"
    assert build_for("cpu", WINDOWS).requirement(REQUIREMENTS) == f"{pinned}+cpu"


def test_a_mac_takes_the_default_index():
    for machine, platform in (("arm64", "mps"), ("x86_64", "cpu")):
        assert build_for(platform, Computer("darwin", machine)).requirement(REQUIREMENTS) is None


def test_no_pin_no_build(tmp_path):
    (tmp_path / "list.txt").write_text("torchvision==1.0\n# torch==2.0\n")
    assert build_for("cpu", LINUX).requirement(tmp_path / "list.txt") is None


def test_room_for_every_platform():
    assert NEEDED_BYTES["cpu"] < NEEDED_BYTES["cuda"] < NEEDED_BYTES["rocm"]
