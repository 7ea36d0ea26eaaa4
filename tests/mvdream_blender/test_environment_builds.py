# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of PyTorch an environment gets, and what stands in for one that can't be had."""

import sys

import pytest
from fake_python import behave

from mvdream_blender import environment as module
from mvdream_blender.environment import Environment
from mvdream_blender.errors import MVDreamError
from mvdream_blender.hardware import Computer
from mvdream_blender.tasks import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def install_for(environment, platform, smi=None, built=None, report=lambda progress: None):
    """Install for a platform on Linux; returns what pip was asked for, without the options of every call."""
    root = environment.folder.parents[1] / "root"
    if smi is not None:
        program = root / "usr/lib/wsl/lib/nvidia-smi"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{smi}\n")
        program.chmod(0o755)
    (environment.folder.parent / "built").write_text(built or platform)
    computer = Computer("linux", "x86_64", root, root / "Windows")
    made = Environment(
        environment.folder, environment.requirements, environment.base_python, platform, computer
    )
    run(made.install(report), 30)
    assert made.ready
    asked = (made.folder.parent / "asked").read_text().splitlines()
    options = "-m pip install --no-input --disable-pip-version-check "
    return made, [line.partition(" TMPDIR")[0].removeprefix(options) for line in asked if options in line]


@pytest.fixture
def no_nvidia_smi(monkeypatch):
    monkeypatch.setattr("mvdream_blender.hardware.shutil.which", lambda name: None)


@pytest.mark.usefixtures("no_nvidia_smi")
@pytest.mark.parametrize(
    ("platform", "smi", "tag"),
    [
        ("cpu", None, "cpu"),
        ("cuda", None, "cu130"),
        ("cuda", "echo 6.1, 580.65.06", "cu126"),
        ("cuda", "echo 12.0, 580.65.06", "cu130"),
        ("cuda", "echo 6.1, 580.65.06; exit 9", "cu130"),
        ("rocm", "exit 1", "rocm7.2"),
    ],
)
def test_the_build_for_the_platform_comes_first(environment, platform, smi, tag):
    made, asked = install_for(environment, platform, smi)
    index = f"https://download.pytorch.org/whl/{tag}"
    assert asked[0] == "--upgrade pip>=24.1"
    assert asked[1] == f"--progress-bar raw --no-deps --index-url {index} torch==2.13+{tag}"
    rest = f"--progress-bar raw -r {environment.requirements}"
    assert asked[2:] == [f"{rest} --extra-index-url {index}" if platform == "rocm" else rest]
    assert (made.wanted, made.built) == (platform, platform)


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_build_that_can_not_be_had_is_replaced_and_told(environment):
    behave(environment, "no build")
    seen = []
    told = "torch==2.13+cu130 can't be had from https://download.pytorch.org/whl/cu130"
    made, asked = install_for(
        environment, "cuda", built="cpu", report=lambda progress: seen.append(progress.message)
    )
    assert "Fetching PyTorch for NVIDIA cards (CUDA)" in seen
    assert any(message.startswith(told) for message in seen)
    assert asked[2:] == [f"--progress-bar raw -r {environment.requirements}"]
    assert (made.wanted, made.built) == ("cuda", "cpu")
    assert told in made.log_file.read_text()


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_replacement_needs_room_for_the_default_build(environment, monkeypatch):
    monkeypatch.setitem(module.NEEDED_BYTES, "cuda", 10**18)
    behave(environment, "no build")
    with pytest.raises(MVDreamError, match="GB of disk space"):
        install_for(environment, "cpu")


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_broken_download_is_no_reason_for_another_build(environment):
    behave(environment, "cut off")
    with pytest.raises(MVDreamError, match="IncompleteRead"):
        install_for(environment, "cuda")


def test_no_build_for_this_computer(environment):
    computer = Computer("win32", "AMD64")
    bad = Environment(environment.folder, environment.requirements, environment.base_python, "rocm", computer)
    with pytest.raises(MVDreamError, match="for Linux on x86-64 only") as caught:
        run(bad.install(), 30)
    assert caught.value.fix == "preferences"
    assert not environment.folder.exists()


def test_another_platform_leaves_it_ready(environment):
    install_for(environment, "rocm", built="cpu")
    again = Environment(environment.folder, environment.requirements, environment.base_python, "cpu")
    assert again.ready
    assert (again.wanted, again.built) == ("rocm", "cpu")
