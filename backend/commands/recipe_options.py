# SPDX-License-Identifier: GPL-3.0-or-later
"""Options for every number of the recipe, made from their one list. Standard library only."""

import argparse
import dataclasses
from typing import Any

from backend.settings.numbers import NUMBER_NAMES, Numbers
from backend.settings.presets import DEFAULT_PRESET, PRESETS


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Adds --preset, --precision, --compile, and an option a number; bounds are checked by the schema."""
    parser.add_argument(
        "--preset", help=f"recipe to start from: {', '.join(PRESETS)} (default: {DEFAULT_PRESET})"
    )
    parser.add_argument("--precision", help="of the networks: auto, bf16, fp16 or fp32 (default: auto)")
    parser.add_argument(
        "--compile",
        action="store_true",
        default=None,
        help="networks by torch.compile instead of our own kernels: once, minutes before the first step; it"
        " needs a C++ compiler and Python's headers",
    )
    group = parser.add_argument_group("instead of the preset's numbers")
    for number in dataclasses.fields(Numbers):
        facts: dict[str, Any] = dict(number.metadata)
        options: dict[str, Any] = {"metavar": "N", "type": float}
        if "choices" in facts:
            options = {"metavar": "|".join(facts["choices"])}
        elif facts.get("pair"):
            options = {"metavar": ("LOW", "HIGH"), "type": float, "nargs": 2}
        elif number.type == "int":
            options["type"] = int
        group.add_argument(f"--{number.name.replace('_', '-')}", help=_help(facts), **options)


def recipe_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of these options, for GenerateSettings."""
    names = ("preset", "precision", "compile", *NUMBER_NAMES)
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _help(facts: dict[str, Any]) -> str:
    if "choices" in facts:
        return str(facts["help"])
    low, high = (f"{bound:.15g}" for bound in (facts["low"], facts["high"]))
    return f"{facts['help']}; {low} to {high}"
