# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel offers what the backend has. Needs the backend's environment."""

import pytest

from mvdream_blender.presets import DEFAULT_PRESET, LARGEST_SEED, PRESETS


def test_same_as_the_backends():
    pytest.importorskip("pydantic")
    from backend import settings

    backends = tuple((name, preset.title, preset.description) for name, preset in settings.PRESETS.items())
    assert backends == PRESETS
    draft, standard = (settings.PRESETS[name] for name in ("draft", "standard"))
    assert f"{draft.small.steps} of {standard.small.steps} steps" in draft.description
    assert ("a quarter with a published" in draft.description) == (
        4 * draft.numbers.steps == standard.numbers.steps
    )
    assert settings.DEFAULT_PRESET == DEFAULT_PRESET
    assert settings.GenerateSettings(prompt="x", seed=LARGEST_SEED).seed == LARGEST_SEED
