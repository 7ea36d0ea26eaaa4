# SPDX-License-Identifier: GPL-3.0-or-later
"""MVDream: a prompt becomes a textured mesh in the scene.

For scripts, also without a window:

    from bl_ext.user_default import mvdream_blender as mvdream
    picture = mvdream.preview_views("a red mug", seed=3)
    mug = mvdream.generate("a red mug", seed=3)
    mvdream.download_model("mvdream-sd21")

bpy is imported when it is needed and not before, so that the parts which do not need it can be used anywhere.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import bpy

    from .job import Job


def generate(
    prompt: str,
    *,
    negative_prompt: str = "",
    seed: int = 0,
    preset: str = "standard",
    model: str = "auto",
    timeout: float | None = None,
    progress: "Callable[[Job], None] | None" = None,
) -> "bpy.types.Object":
    """Make an object from a prompt and wait until it stands in the scene, at the 3D cursor.

    It blocks the window if there is one; `bpy.ops.mvdream.generate` does not.

    Args:
        prompt: what to make, such as "a red mug".
        negative_prompt: what to keep away from; "" for what suits the model.
        seed: 0 to 2**31 - 1; the same seed gives the same mesh on the same machine.
        preset: "draft", "standard", "paper" or "paper-shaded".
        model: "auto" (the published one where it is installed and there is a GPU, else "small"), or the name
            of one that is installed. Which it was stays with the object, as "mvdream_model".
        timeout: seconds it may take; None for no limit. What is running then is cancelled.
        progress: called with the job when there is news: `job.fraction` (0..1), `job.headline`,
            `job.seconds_left`. None: a bar, or lines in a log, on the standard error.

    Returns:
        The new object: selected, active, one undo step.

    Raises:
        RuntimeError: the add-on is not enabled, is busy, or the object can't be made; the message says why.
        TimeoutError: it took longer than `timeout`.
    """
    from . import scripting

    return scripting.generate(prompt, negative_prompt, seed, preset, model, timeout, progress)


def preview_views(
    prompt: str,
    *,
    negative_prompt: str = "",
    seed: int = 0,
    model: str = "auto",
    timeout: float | None = None,
    progress: "Callable[[Job], None] | None" = None,
) -> Path:
    """Have the model draw a prompt from four sides and wait for the picture: seconds before minutes.

    It blocks the window if there is one; `bpy.ops.mvdream.preview_views` does not.

    Args:
        prompt: what to show, such as "a red mug".
        negative_prompt: what to keep away from; "" for what suits the model.
        seed: 0 to 2**31 - 1; the same seed gives the same picture on the same machine.
        model: as for `generate`.
        timeout: seconds it may take; None for no limit. What is running then is cancelled.
        progress: as for `generate`.

    Returns:
        A PNG with the views side by side: from the front, then counter-clockwise seen from above. The newest
        20 are kept.

    Raises:
        RuntimeError: the add-on is not enabled, is busy, or there can be no picture; the message says why.
        TimeoutError: it took longer than `timeout`.
    """
    from . import scripting

    return scripting.preview_views(prompt, negative_prompt, seed, model, timeout, progress)


def download_model(
    name: str,
    *,
    half: bool = False,
    timeout: float | None = None,
    progress: "Callable[[Job], None] | None" = None,
) -> None:
    """Have the backend fetch a published model, some GB, and wait until it can be used.

    Does nothing where it is installed, and joins a download that is under way. It blocks the window if there
    is one; `bpy.ops.mvdream.download_model` does not.

    Args:
        name: "mvdream-sd21" or "mvdream-sd15".
        half: keep 16-bit weights: half the size on the disk.
        timeout: seconds it may take; None for no limit. The download is stopped then; what has come is kept.
        progress: as for `generate`.

    Raises:
        RuntimeError: the add-on is not enabled, Blender is set to stay offline, somebody stopped the
            download, or the model can't be had; the message says why.
        TimeoutError: it took longer than `timeout`.
    """
    from . import scripting

    scripting.download_model(name, half, timeout, progress)


def mesh_file(generated: "bpy.types.Object") -> Path | None:
    """The GLB that `generated` came from. The newest 20 are kept; None where it is gone."""
    from . import scripting

    return scripting.mesh_file(generated)


def register() -> None:
    """Called by Blender when the add-on is enabled."""
    from . import registration

    registration.register()


def unregister() -> None:
    """Called by Blender when the add-on is disabled, and at exit."""
    from . import registration

    registration.unregister()
