# SPDX-License-Identifier: GPL-3.0-or-later
"""What the backend is asked for, in its own terms. Never imports bpy."""

from typing import Any

from .models import AUTO


def mesh_settings(prompt: str, negative_prompt: str, seed: int, preset: str, model: str) -> dict[str, Any]:
    """Settings of a job that makes a mesh."""
    return {**_common(prompt, negative_prompt, seed, model), "preset": preset}


def views_settings(prompt: str, negative_prompt: str, seed: int, model: str) -> dict[str, Any]:
    """Settings of a preview of views."""
    return {**_common(prompt, negative_prompt, seed, model), "separate": True}


def _common(prompt: str, negative_prompt: str, seed: int, model: str) -> dict[str, Any]:
    settings = {"prompt": prompt, "seed": seed, "model": model.strip() or AUTO}
    # Without one the backend takes what suits the model; an empty one would be the wish for none.
    return {**settings, "negative_prompt": negative_prompt} if negative_prompt.strip() else settings
