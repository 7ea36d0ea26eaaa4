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
    assert (settings.seed, settings.model, settings.device) == (0, "auto", "auto")
    assert settings.negative_prompt is None  # the model's own
    assert settings.resolve(64) == PRESETS["standard"].small
    assert settings.resolve(256) == PRESETS["standard"].numbers


def test_own_numbers_win_over_the_preset_even_when_zero() -> None:
    numbers = GenerateSettings(prompt="a", preset="draft", guidance_scale=0, faces=500).resolve(64)
    assert (numbers.guidance_scale, numbers.faces) == (0.0, 500)
    assert numbers.steps == PRESETS["draft"].small.steps
    assert numbers.steps < PRESETS["standard"].small.steps


def test_every_number_can_be_overridden_and_every_preset_is_within_bounds() -> None:
    assert set(NUMBER_NAMES) <= set(GenerateSettings.model_fields)
    for name, preset in PRESETS.items():
        for numbers, size in ((preset.numbers, 256), (preset.small, 64)):
            own = {key: value for key, value in asdict(numbers).items() if value is not None}
            if own["encoding"] == "hash":
                own.pop("variation")  # together they are a mistake, even at 0
            assert GenerateSettings(prompt="a", preset=name, **own).resolve(size) == numbers
        assert preset.title
        assert preset.description


def test_the_paper_preset_is_the_published_configuration() -> None:
    """MVDream-threestudio's mvdream-sd21.yaml and mvdream-sd21-shading.yaml, value by value."""
    paper, shaded = PRESETS["paper"].numbers, PRESETS["paper-shaded"].numbers
    assert (paper.steps, paper.refine_from) == (10_000, 0.5)
    assert (paper.views_per_step, paper.render_size) == (8, 64)
    assert (paper.refine_views_per_step, paper.refine_render_size) == (4, 256)
    # Bins of the published length, sqrt(3) 2 / 512 of the cube's edge 2.
    assert 2 / paper.samples_per_ray == pytest.approx(2 * 3**0.5 / 512, rel=2e-3)
    assert (paper.guidance_scale, paper.guidance_rescale, paper.guidance_mode) == (50, 0.5, "x0")
    assert (paper.noise_start, paper.noise_low, paper.noise_high) == (0.98, 0.02, 0.5)
    assert paper.anneal_until * paper.steps == 8000
    assert (paper.encoding, paper.hash_levels, paper.hash_log2_size) == ("hash", 16, 19)
    growth = (paper.hash_finest / paper.hash_base) ** (1 / (paper.hash_levels - 1))
    assert growth == pytest.approx(1.447269237440378, rel=1e-9)
    assert (paper.hidden, paper.density_multiplier, paper.blob_scale, paper.blob_radius) == (64, 1, 10, 0.5)
    assert (paper.grid_rate, paper.network_rate, paper.background_rate) == (0.01, 0.001, 0.001)
    assert (paper.epsilon, paper.weight_decay, paper.warmup, paper.decay_from) == (1e-15, 0.01, 0, 1)
    assert (paper.background, paper.background_random) == ("learned", 0.5)
    assert paper.network_bias == "no"
    assert paper.occupancy_density * 2 * 3**0.5 / 512 == pytest.approx(0.01, rel=1e-3)
    assert not paper.needs_normals
    assert paper.sparsity == paper.entropy == paper.variation == 0
    assert shaded.shading_from * shaded.steps == 5000
    assert (shaded.shading_probability, shaded.textureless_probability) == (0.75, 0.5)
    assert (shaded.orientation_start, shaded.orientation) == (10, 1000)
    assert shaded.orientation_until * shaded.steps == 5000
    assert shaded.normals == "analytic"


def test_settings_survive_json() -> None:
    settings = GenerateSettings(
        prompt="ein Stück Käse 🧀", steps=20, guidance_scale=7.5, fov=(20, 40), encoding="dense"
    )
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
        ({"prompt": "x" * 1001}, ["too long", "1001", "1000"]),
        ({"prompt": 5}, ["prompt must be a text", "5"]),
        ({"prompt": "\ud800"}, ["prompt"]),
        ({"prompt": "a", "preset": "ultra"}, ["'ultra'", "draft, standard, paper, paper-shaded"]),
        ({"prompt": "a", "device": "tpu"}, ["'tpu'", "cuda:N"]),
        ({"prompt": "a", "device": "cuda:0; rm"}, ["no device"]),
        ({"prompt": "a", "model": " "}, ["model is empty"]),
        ({"prompt": "a", "model": "small\x00"}, ["characters no name"]),
        ({"prompt": "a", "steps": 9}, ["steps must be between 10 and 100000", "9 was given"]),
        ({"prompt": "a", "steps": 100001}, ["between 10 and 100000"]),
        ({"prompt": "a", "steps": "many"}, ["steps must be a whole number", "'many'"]),
        ({"prompt": "a", "steps": True}, ["steps must be a whole number"]),
        ({"prompt": "a", "seed": -1}, ["seed must be between 0 and 2147483647"]),
        ({"prompt": "a", "seed": 2**31}, ["seed must be between"]),
        ({"prompt": "a", "seed": 10**400}, ["seed"]),
        ({"prompt": "a", "guidance_scale": float("nan")}, ["guidance_scale", "finite"]),
        ({"prompt": "a", "guidance_scale": float("inf")}, ["guidance_scale"]),
        ({"prompt": "a", "views_per_step": 6}, ["multiple of 4", "6 is not"]),
        ({"prompt": "a", "fov": [30]}, ["fov must be two numbers"]),
        ({"prompt": "a", "fov": [30, "x"]}, ["fov must be a number", "'x'"]),
        ({"prompt": "a", "fov": [0, 30]}, ["fov must be between 1 and 120", "0 was given"]),
        ({"prompt": "a", "elevation": [30, 20]}, ["elevation is 30 to 20", "lowest value comes first"]),
        ({"prompt": "a", "encoding": "tiles"}, ["encoding must be 'auto', 'hash' or 'dense'", "'tiles'"]),
        ({"prompt": "a", "precision": "fp8"}, ["precision must be", "'fp16'"]),
        ({"prompt": "a", "noise_low": 0.9}, ["noise_low (0.9) is above noise_high"]),
        ({"prompt": "a", "encoding": "hash", "variation": 1.0}, ["variation smooths dense grids"]),
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
    assert explain(caught.value) == "faces must be between 100 and 500000; 1 was given."


def test_settings_need_no_torch() -> None:
    code = "import sys, backend.settings; sys.exit('torch' in sys.modules or 'fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_settings_survive_a_list_for_a_pair() -> None:
    assert GenerateSettings.from_values({"prompt": "a", "fov": [20, 40]}).resolve(64).fov == (20, 40)


def test_presets_and_numbers_need_no_pydantic() -> None:
    code = "import sys, backend.settings.presets; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_what_no_model_could_run_is_refused_before_the_model_is_known() -> None:
    # Half the views of a published preset are no business of the small model's, and the other way round.
    settings = GenerateSettings(prompt="a", noise_high=0.01, noise_low=0.005)
    assert settings.resolve(256).noise_high == 0.01
    with pytest.raises(UserError, match="noise_low"):
        GenerateSettings.from_values({"prompt": "a", "noise_high": 0.01})
