# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user has typed into the panel; kept in the scene, in one group."""

import bpy

from . import model_choice
from .models import AUTO
from .presets import DEFAULT_PRESET, LARGEST_SEED, PRESETS


class MVDREAM_PG_settings(bpy.types.PropertyGroup):
    """The panel's inputs. What is going on is in the session and never in the file."""

    # Without maxlen, which would count bytes and cut without a word: the backend says what is too long.
    prompt: bpy.props.StringProperty(name="Prompt", description="What to make, such as: a red mug")
    negative_prompt: bpy.props.StringProperty(
        name="Negative Prompt", description="What to keep away from. Empty: what suits the model"
    )
    seed: bpy.props.IntProperty(
        name="Seed",
        description="The same seed gives the same object on the same machine",
        min=0,
        max=LARGEST_SEED,
    )
    preset: bpy.props.EnumProperty(
        name="Preset", description="How much time to spend", items=PRESETS, default=DEFAULT_PRESET
    )
    model: bpy.props.StringProperty(name="Model", description="Name of the model", default=AUTO)
    model_choice: bpy.props.EnumProperty(
        name="Model",
        description="What makes it. The add-on's preferences download the published models",
        items=model_choice.items,
        get=model_choice.read,
        set=model_choice.write,
    )


def register() -> None:
    bpy.utils.register_class(MVDREAM_PG_settings)
    bpy.types.Scene.mvdream = bpy.props.PointerProperty(type=MVDREAM_PG_settings)


def unregister() -> None:
    del bpy.types.Scene.mvdream
    bpy.utils.unregister_class(MVDREAM_PG_settings)
