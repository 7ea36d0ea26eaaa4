# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job's settings come to with a model: its preset's small image encoder is used where there is one."""

import shutil
from pathlib import Path

import pytest

from backend.diffusion.registry import SHIPPED, ModelEntry, entry
from backend.errors import UserError
from backend.settings import PRESETS, GenerateSettings


def settings(**own: object) -> GenerateSettings:
    return GenerateSettings.from_values({"prompt": "a red mug", **own})


@pytest.fixture
def shipped() -> ModelEntry:
    return entry("small", SHIPPED / "small")


@pytest.fixture
def without(tmp_path: Path) -> ModelEntry:
    """The shipped model without its small encoder and its weights."""
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(SHIPPED / "small" / "mvdream.json", folder)
    return entry("copy", folder)


def test_on_a_processor_the_preset_has_its_small_encoder(shipped: ModelEntry) -> None:
    assert PRESETS["standard"].small.tiny_encoder_until == 1
    assert shipped.recipe(settings(), "cpu") == PRESETS["standard"].small


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_elsewhere_it_must_be_asked_for(shipped: ModelEntry, device: str) -> None:
    assert shipped.recipe(settings(), device).tiny_encoder_until == 0
    assert shipped.recipe(settings(tiny_encoder_until=0.5), device).tiny_encoder_until == 0.5


def test_without_one_the_presets_is_left_out(without: ModelEntry) -> None:
    found = without.recipe(settings(preset="draft", steps=12), "cpu")
    assert (found.steps, found.tiny_encoder_until) == (12, 0)


def test_without_one_what_was_asked_for_by_hand_is_refused(without: ModelEntry) -> None:
    with pytest.raises(UserError, match=r"tiny_encoder_until is 0\.5, but the model copy has no small"):
        without.recipe(settings(tiny_encoder_until=0.5), "cpu")
    assert without.recipe(settings(tiny_encoder_until=0), "cpu").tiny_encoder_until == 0
