# SPDX-License-Identifier: GPL-3.0-or-later
"""What sampling views needs: by hand, and on machines that have less."""

from dataclasses import replace

import pytest
import torch

from backend.diffusion.config import ModelConfig
from backend.diffusion.registry import SHIPPED
from backend.errors import UserError
from backend.memory import planning
from backend.memory.facts import ModelFacts
from backend.memory.planning import plan_sampling
from backend.memory.sampling import estimate_sampling

TOY = ModelFacts(
    8, 2, {"unet": 1000, "vae_encoder": 100, "vae_decoder": 50, "text": 10},
    encoder_elements=5, unet_elements=7, decoder_elements=3,
)  # fmt: skip
SMALL = ModelConfig(name="small", image_size=64)
MB = 10**6


def test_the_largest_moment_counts_beside_the_weights() -> None:
    decoding = estimate_sampling(TOY, 4, 4, 2, "cuda").device
    assert decoding["weights"] == 2 * 1150
    assert decoding["image decoder"] == 4 * 8 * 8 * 3 * 2
    network = estimate_sampling(TOY, 4, 1, 2, "cuda").device
    assert network["network"] == 2 * 4 * 2 * 2 * 7 * 2  # twice the views, for guidance
    assert set(network) == {"libraries", "weights", "network"}
    wordy = replace(TOY, parameters={**TOY.parameters, "text": 9999})
    assert estimate_sampling(wordy, 4, 4, 2, "cuda").device["text encoder"] == 2 * 9999
    on_cpu = estimate_sampling(TOY, 4, 4, 4, "cpu")
    assert on_cpu.device == {}
    assert on_cpu.host["weights"] == 4 * 1150


def plan() -> int:
    return plan_sampling(SHIPPED / "small", SMALL, torch.device("cpu"), torch.float32, 16)


def test_with_enough_memory_all_views_are_decoded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "available_ram", lambda: 2000 * MB)
    assert plan() == 4


def test_with_less_fewer_are(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = planning.read_facts(SHIPPED / "small", 64)
    # Where pictures are the most there is.
    facts = replace(facts, decoder_elements=50_000.0)
    monkeypatch.setattr(planning, "read_facts", lambda folder, size: facts)
    wanted = estimate_sampling(facts, 4, 2, 4, "cpu").host_total
    monkeypatch.setattr(planning, "available_ram", lambda: round(1.12 * wanted))
    assert plan() == 2


def test_with_too_little_for_any_it_is_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "available_ram", lambda: 100 * MB)
    said = r"^Sampling views needs 0\.\d GB of memory in this computer, and 0\.1 GB can be used\. What would"
    with pytest.raises(UserError, match=said):
        plan()
