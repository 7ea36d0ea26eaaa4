# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes are told by the names of the options that were given."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.cli import main
from backend.commands.option_names import options_named
from backend.errors import UserError


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps must be at least 1; 0 was given.", "--steps must be at least 1; 0 was given."),
        ("seed must be 1. steps must be 2.", "--seed must be 1. --steps must be 2."),
        ("More steps must be made.", "More steps must be made."),
        ("negative_prompt is too long: 9.", "--negative is too long: 9."),
        ("Set guidance_scale lower.", "Set --guidance-scale lower."),
        ("The folder my.guidance_scale/x is full.", "The folder my.guidance_scale/x is full."),
        ("guidance_scales must be.", "guidance_scales must be."),
        ("prompt is too long: 2.", "prompt is too long: 2."),
    ],
)
def test_settings_become_options(text: str, told: str) -> None:
    with (
        pytest.raises(UserError) as caught,
        options_named(["prompt", "negative_prompt", "steps", "seed", "guidance_scale"]),
    ):
        raise UserError(text)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["views", "--guidance", "200"], "--guidance-scale must be between 0"),
        (["views", "--guidance-scale", "200"], "--guidance-scale must be between 0"),
        (["views", "--rescale", "2"], "--guidance-rescale must be between 0"),
        (["views", "--guidance-rescale", "2"], "--guidance-rescale must be between 0"),
        (["views", "--negative", "x" * 1001], "--negative is too long"),
        (["views", "--steps", "0"], "--steps must be between 1"),
        (["views", "--steps", "1000", "--count", "17"], "--count must be between 1"),
        (["generate", "--guidance-scale", "-1"], "--guidance-scale must be between"),
        (["generate", "--ray-chunk", "-1"], "--ray-chunk must be between"),
        (["generate", "--seed", "-1"], "--seed must be between"),
        (["generate", "--fov", "45", "20"], "--fov is 45 to 20: the lowest value comes first."),
        (["generate", "--elevation", "-5", "-20"], "--elevation is -5 to -20: the lowest"),
        (["generate", "--normals", "x"], "--normals must be"),
    ],
)
def test_a_mistake_names_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    command, *options = words
    out = tmp_path / ("x.png" if command == "views" else "x.glb")
    assert main([command, "a red mug", "-o", str(out), *options]) == 2
    assert capsys.readouterr().err.startswith(said)


def test_an_evaluations_mistake_does_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--out", str(tmp_path / "x"), "--ray-chunk", "-1"]) == 2
    assert capsys.readouterr().err.startswith("--ray-chunk must be between")
