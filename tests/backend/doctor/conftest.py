# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine where nothing is wrong, to break one thing at a time."""

import pytest

from backend.doctor.facts import Card, Computer, Device, Facts, Model, Package, Place, Torch

GB = 10**9


@pytest.fixture
def card() -> Card:
    return Card("NVIDIA", "RTX 4090", "580.1", 24 * GB, 20 * GB)


@pytest.fixture
def device() -> Device:
    return Device("cuda:0", "RTX 4090", 24 * GB, 20 * GB, "8.9", True, "bf16")


@pytest.fixture
def healthy(card: Card, device: Device) -> Facts:
    return Facts(
        Computer(
            "Linux-6", "x86_64", "A processor", 8, 32 * GB, 20 * GB, (3, 11, 7), "/venv/python", "1.2.3"
        ),
        (card,),
        Torch("2.13.0", cuda="13.0", devices=(device,)),
        (Package("torch", "2.13.0", "2.13.0"), Package("diffusers", "0.42.1", "0.42.1")),
        (),
        "hash grid in PyTorch",
        (Model("small", "Small", 64), Model("mvdream-sd21", "MVDream", 256)),
        (Model("mvdream-sd15", "MVDream"),),
        (Place("Models", "/models", 90 * GB), Place("Temporary files", "/tmp", 90 * GB)),
    )
