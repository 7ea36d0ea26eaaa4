# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of settings: what presets fill in, and the sentence each mistake gets."""

import subprocess
import sys
from dataclasses import asdict

import pytest
from pydantic import ValidationError

from backend.errors import UserError
from backend.settings import NUMBER_NAMES, PRESETS, GenerateSettings, explain


def test_defaults_are_the_standard_preset() -> None:
    settings = GenerateSettings(prompt="a red mug")
    assert (settings.seed, settings.model, settings.device, settings.negative_prompt) == (
        0,
        "small",
        "auto",
        "",
    )
    assert settings.resolve() == PRESETS["standard"].numbers


def test_own_numbers_win_over_the_preset_even_when_zero() -> None:
    numbers = GenerateSettings(prompt="a", preset="draft", guidance_scale=0, faces=500).resolve()
    assert (numbers.guidance_scale, numbers.faces) == (0.0, 500)
    assert numbers.steps == PRESETS["draft"].numbers.steps
    assert numbers.steps < PRESETS["standard"].numbers.steps


def test_every_number_can_be_overridden_and_every_preset_is_within_bounds() -> None:
    assert set(NUMBER_NAMES) <= set(GenerateSettings.model_fields)
    for name, preset in PRESETS.items():
        assert GenerateSettings(prompt="a", preset=name, **asdict(preset.numbers)).resolve() == preset.numbers
        assert preset.title
        assert preset.description


def test_settings_survive_json() -> None:
    settings = GenerateSettings(prompt="ein Stück Käse 🧀", steps=20, guidance_scale=7.5)
    assert GenerateSettings.model_validate_json(settings.model_dump_json()) == settings
    assert GenerateSettings.from_values(settings.model_dump()) == settings


def test_prompt_becomes_one_clean_line() -> None:
    assert GenerateSettings(prompt="  a red\n\t mug\x00\x1b ").prompt == "a red mug"


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({}, ["prompt is missing"]),
        ({"prompt": ""}, ["prompt is empty", "a red mug"]),
        ({"prompt": " \n\x00"}, ["prompt is empty"]),
        ({"prompt": "x" * 301}, ["too long", "301", "300"]),
        ({"prompt": 5}, ["prompt must be a text", "5"]),
        ({"prompt": "\ud800"}, ["prompt"]),
        ({"prompt": "a", "preset": "ultra"}, ["'ultra'", "draft, standard"]),
        ({"prompt": "a", "device": "tpu"}, ["'tpu'", "cuda:N"]),
        ({"prompt": "a", "device": "cuda:0; rm"}, ["no device"]),
        ({"prompt": "a", "model": " "}, ["model is empty"]),
        ({"prompt": "a", "model": "small\x00"}, ["characters no name"]),
        ({"prompt": "a", "steps": 9}, ["steps must be between 10 and 20000", "9 was given"]),
        ({"prompt": "a", "steps": 20001}, ["between 10 and 20000"]),
        ({"prompt": "a", "steps": "many"}, ["steps must be a whole number", "'many'"]),
        ({"prompt": "a", "steps": True}, ["steps must be a whole number"]),
        ({"prompt": "a", "seed": -1}, ["seed must be between 0 and 2147483647"]),
        ({"prompt": "a", "seed": 2**31}, ["seed must be between"]),
        ({"prompt": "a", "seed": 10**400}, ["seed"]),
        ({"prompt": "a", "guidance_scale": float("nan")}, ["guidance_scale", "finite"]),
        ({"prompt": "a", "guidance_scale": float("inf")}, ["guidance_scale"]),
        ({"prompt": "a", "views_per_step": 6}, ["multiple of 4", "6 is not"]),
        ({"prompt": "a", "stepz": 6}, ["no setting 'stepz'", "Did you mean 'steps'", "guidance_scale"]),
        ({"prompt": "", "steps": 1}, ["prompt is empty", "steps must be"]),
    ],
)
def test_a_mistake_is_named_with_the_way_out(values: dict, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        GenerateSettings.from_values(values)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert "pydantic" not in message


def test_explain_takes_the_error_of_a_constructor() -> None:
    with pytest.raises(ValidationError) as caught:
        GenerateSettings(prompt="a", faces=1)
    assert explain(caught.value) == "faces must be between 100 and 200000; 1 was given."


def test_settings_need_no_torch() -> None:
    code = "import sys, backend.settings; sys.exit('torch' in sys.modules or 'fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
