# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on says when another PyTorch would serve better."""

import pytest

from mvdream_blender import configuration as module
from mvdream_blender.configuration import Configuration
from mvdream_blender.environment_marker import identity, mark
from mvdream_blender.hardware import Computer


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Makes a configuration on a computer with or without an NVIDIA card, with an environment installed."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "backend.txt").write_text("torch==2.13.0\n")

    def make(compute="auto", card=False, marker=None, **more):
        if card:
            (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
            (tmp_path / "proc/driver/nvidia/version").touch()
        monkeypatch.setattr(module, "Computer", lambda: Computer("linux", "x86_64", tmp_path))
        made = Configuration(tmp_path / "user", compute=compute, source=tmp_path, **more)
        environment = made.environment
        environment.python.parent.mkdir(parents=True)
        environment.python.touch()
        place = identity(environment.folder, environment.requirements)
        mark(environment.folder, {"wanted": environment.platform} | place | (marker or {}))
        assert environment.ready
        return made

    return make


@pytest.mark.parametrize(
    ("compute", "card", "wanted", "built"),
    [
        ("auto", True, "cuda", "cuda"),
        ("auto", False, "cpu", "cpu"),
        ("cpu", True, "cpu", "cpu"),
        # The card is away for now.
        ("auto", False, "cuda", "cuda"),
        # PyPI's build was the right one by chance.
        ("auto", True, "cpu", "cuda"),
    ],
)
def test_nothing_to_say(configured, compute, card, wanted, built):
    assert configured(compute, card, {"wanted": wanted, "built": built}).advice == ""


@pytest.mark.parametrize(
    ("compute", "card", "wanted", "built", "advice"),
    [
        (
            *("auto", True, "cpu", "cpu"),
            "PyTorch is installed for the processor. "
            "Install Backend fetches the build for NVIDIA cards (CUDA).",
        ),
        (
            *("cpu", True, "cuda", "cuda"),
            "PyTorch is installed for NVIDIA cards (CUDA). "
            "Install Backend fetches the build for the processor.",
        ),
        (
            *("auto", True, "cuda", "cpu"),
            "PyTorch is installed for the processor: the build for NVIDIA cards (CUDA) could not be had from "
            "https://download.pytorch.org/whl. Install Backend tries again.",
        ),
    ],
)
def test_another_platform_is_offered(configured, compute, card, wanted, built, advice):
    assert configured(compute, card, {"wanted": wanted, "built": built}).advice == advice


def test_only_the_own_environment_is_spoken_of(configured):
    made = configured("auto", True, {"wanted": "cpu", "built": "cpu"}, remote_url="http://127.0.0.1:1")
    assert made.advice == ""


def test_an_environment_of_unknown_origin_is_left_alone(configured):
    assert configured("auto", True).advice == ""
