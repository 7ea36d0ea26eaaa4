# SPDX-License-Identifier: GPL-3.0-or-later
"""What a generation can be asked for: numbers and their bounds, presets, and the schema all doors share.

`numbers` and `presets` need the standard library alone, so that the command line starts at once; the schema
needs pydantic and is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend.settings.numbers import NUMBER_NAMES, Numbers
from backend.settings.presets import DEFAULT_PRESET, PRESETS, Preset

if TYPE_CHECKING:
    from backend.settings.request import PROMPT_LENGTH
    from backend.settings.schema import GenerateSettings
    from backend.settings.sentences import explain, explain_errors

__all__ = [
    "DEFAULT_PRESET",
    "NUMBER_NAMES",
    "PRESETS",
    "PROMPT_LENGTH",
    "GenerateSettings",
    "Numbers",
    "Preset",
    "explain",
    "explain_errors",
]

_HOMES = {
    "GenerateSettings": "schema",
    "PROMPT_LENGTH": "request",
    "explain": "sentences",
    "explain_errors": "sentences",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
