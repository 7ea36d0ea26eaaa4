# SPDX-License-Identifier: GPL-3.0-or-later
"""Which problems follow from which facts, and what the user is told to do."""

from dataclasses import replace
from typing import Any

import pytest

from backend.diffusion.inspection import REMEDY
from backend.doctor.diagnosis import diagnose
from backend.doctor.facts import Card, Device, Facts, Model, Package, Place, Problem, Report, Torch
from backend.doctor.text import _contents

GB = 10**9
CPU_BUILD = Torch("2.13.0+cpu")


def only(facts: Facts, **changes: Any) -> Problem:
    """The one problem of these facts with those changes."""
    problems = list(diagnose(replace(facts, **changes)))
    assert len(problems) == 1, problems
    return problems[0]


def test_a_healthy_machine_has_none(healthy: Facts) -> None:
    assert list(diagnose(healthy)) == []
    assert Report(healthy, ()).usable


def test_the_build_for_processors_beside_a_card(healthy: Facts) -> None:
    problem = only(healthy, torch=CPU_BUILD)
    assert problem.severity == "warning"
    assert (
        "build for processors only, although there is a card of NVIDIA (RTX 4090, driver 580.1)"
        in problem.what
    )
    assert problem.remedy.startswith(
        "In the add-on's preferences set Compute to NVIDIA (CUDA) or Automatic, press Install Backend there"
    )
    assert "/venv/python" in problem.remedy


def test_the_wrong_build_for_an_amd_card(healthy: Facts) -> None:
    cards = (Card("AMD", "RX 7900"),)
    problem = only(healthy, cards=cards, torch=Torch("2.13.0", cuda="13.0"))
    assert "build for CUDA 13.0, although there is a card of AMD (RX 7900)" in problem.what
    assert problem.remedy.startswith(
        "If ROCm supports this card: in the add-on's preferences set Compute to AMD (ROCm, Linux)"
    )
    assert "groups render and video" in only(healthy, cards=cards, torch=Torch("2.13.0", hip="7.0")).remedy


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ("The NVIDIA driver on your system is too old (found version 11040)", "Update the card's driver"),
        ("CUDA driver version is insufficient for CUDA runtime version", "Update the card's driver"),
        ("CUDA unknown error", "Restart the computer"),
        ("", "Restart the computer"),
    ],
)
def test_a_card_that_pytorch_does_not_see(healthy: Facts, complaint: str, remedy: str) -> None:
    problem = only(healthy, torch=Torch("2.13.0", cuda="13.0", complaint=complaint))
    assert problem.what.startswith("PyTorch is built for CUDA 13.0 and does not see RTX 4090")
    assert complaint in problem.what
    assert problem.remedy.startswith(remedy)


def test_no_card_at_all_is_no_problem(healthy: Facts) -> None:
    assert list(diagnose(replace(healthy, cards=(), torch=CPU_BUILD))) == []
    assert list(diagnose(replace(healthy, cards=(), torch=Torch("2.13.0", cuda="13.0")))) == []


def test_a_card_that_this_pytorch_has_no_code_for(healthy: Facts, device: Device) -> None:
    old = replace(device, title="GTX 1080", capability="6.1", built_for=False)
    problem = only(healthy, torch=Torch("2.13.0", cuda="13.0", devices=(old,)))
    assert "does not support GTX 1080 (cuda:0, 6.1)" in problem.what


def test_a_mac_without_its_gpu(healthy: Facts) -> None:
    problem = only(healthy, cards=(Card("Apple", "Apple GPU"),), torch=CPU_BUILD)
    assert "macOS" in problem.remedy


@pytest.mark.parametrize(
    ("memory", "free", "words"),
    [(3 * GB, 3 * GB, "has 3.0 GB of memory: too little"), (24 * GB, GB, "Only 1.0 of 24.0 GB of RTX 4090")],
)
def test_a_small_or_full_card(healthy: Facts, device: Device, memory: int, free: int, words: str) -> None:
    device = replace(device, memory=memory, free=free)
    assert words in only(healthy, torch=Torch("2.13.0", cuda="13.0", devices=(device,))).what


def test_missing_packages_make_it_unusable(healthy: Facts) -> None:
    packages = (Package("torch", None, "2.13.0"), Package("xatlas", None, "0.0.11"))
    facts = replace(healthy, packages=packages, torch=None, models=())
    problem = only(facts)
    assert problem.what == "The Python packages are missing: torch, xatlas."
    assert "Press Install Backend again" in problem.remedy
    assert not Report(facts, (problem,)).usable


def test_what_fails_with_pytorch_is_not_listed_beside_it(healthy: Facts) -> None:
    broken = (
        Package("torch", "2.13.0", "", "it crashed with SIGSEGV"),
        Package("diffusers", "1", "", "no torch"),
    )
    problem = only(healthy, packages=broken, torch=None)
    assert problem.severity == "error"
    assert problem.what == "PyTorch is installed but does not start: it crashed with SIGSEGV."
    alone = (Package("torch", "2.13.0", ""), Package("diffusers", "1", "", "ImportError: x"))
    assert only(healthy, packages=alone).what.startswith("The Python package diffusers is installed but")


def test_a_missing_runtime_of_windows_is_named(healthy: Facts) -> None:
    broken = (Package("torch", "2.13.0", "", 'OSError: Error loading "c10.dll" or one of its dependencies'),)
    assert "Visual C++ Redistributable" in only(healthy, packages=broken, torch=None).remedy


@pytest.mark.parametrize(("version", "severity"), [((3, 10, 1), "error"), ((3, 14, 0), "warning")])
def test_the_python(healthy: Facts, version: tuple[int, int, int], severity: str) -> None:
    problem = only(healthy, computer=replace(healthy.computer, python=version))
    assert problem.severity == severity
    assert f"{version[0]}.{version[1]}.{version[2]}" in problem.what


def test_a_damaged_model_is_a_problem_and_not_offered_for_download(healthy: Facts) -> None:
    what = "The model file x/mvdream.json is broken: it is no JSON."
    torn = Model("torn", "torn", damage=f"{what} {REMEDY}")
    problem = only(healthy, not_installed=(torn,))
    assert (problem.severity, problem.what, problem.remedy) == ("warning", what, REMEDY)
    assert "damaged: torn" in "\n".join(_contents(replace(healthy, not_installed=(torn,))))


def test_a_gpu_without_the_published_model(healthy: Facts) -> None:
    problem = only(healthy, models=healthy.models[:1])
    assert problem.remedy == "Get one with `/venv/python -m backend models download mvdream-sd15`."


def test_no_model_at_all(healthy: Facts) -> None:
    assert only(healthy, models=()).severity == "error"


def test_little_memory(healthy: Facts) -> None:
    problem = only(healthy, computer=replace(healthy.computer, ram_free=GB))
    assert problem.what == "Only 1.0 of 32.0 GB of memory are free."


def test_folders(healthy: Facts) -> None:
    full = only(healthy, places=(Place("Models", "/a", GB), Place("Cache", "/b", GB)))
    assert "/a (1.0 GB) and /b (1.0 GB)" in full.what
    shut = only(healthy, places=(Place("Models", "/a", 0, "Permission denied"),))
    assert shut.severity == "warning"
    assert "MVDREAM_MODELS" in shut.remedy
    worse = only(healthy, places=(Place("Temporary files", "/tmp", 0, "No space left on device"),))
    assert worse.severity == "error"
    assert "TMPDIR" in worse.remedy
