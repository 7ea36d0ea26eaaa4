# SPDX-License-Identifier: GPL-3.0-or-later
"""What a script calls: blocking, with or without a window."""

import time
from collections.abc import Callable
from pathlib import Path

import bpy

from . import importer, runtime
from .console import told_to
from .errors import MVDreamError
from .generation import result_file
from .job import Job
from .job_settings import mesh_settings, views_settings
from .library import LIST


def generate(
    prompt: str,
    negative_prompt: str,
    seed: int,
    preset: str,
    model: str,
    timeout: float | None,
    progress: Callable[[Job], None] | None,
) -> bpy.types.Object:
    """See `mvdream_blender.generate`."""
    session = runtime.session()
    settings = mesh_settings(prompt, negative_prompt, seed, preset, model)
    try:
        importer.refuse_to_wait()
        session.generate(settings, runtime.place(bpy.context))
        with told_to(progress) as tell:
            runtime.finish(timeout, lambda: session.job and tell(session.job))
    except MVDreamError as error:
        raise RuntimeError(str(error)) from None
    return bpy.data.objects[session.object_name]


def preview_views(
    prompt: str,
    negative_prompt: str,
    seed: int,
    model: str,
    timeout: float | None,
    progress: Callable[[Job], None] | None,
) -> Path:
    """See `mvdream_blender.preview_views`."""
    session = runtime.session()
    try:
        session.preview_views(views_settings(prompt, negative_prompt, seed, model))
        with told_to(progress) as tell:
            runtime.finish(timeout, lambda: session.job and tell(session.job))
    except MVDreamError as error:
        raise RuntimeError(str(error)) from None
    assert session.views is not None
    return session.views.picture


def download_model(
    name: str, half: bool, timeout: float | None, progress: Callable[[Job], None] | None
) -> None:
    """See `mvdream_blender.download_model`."""
    session = runtime.session()
    library = session.library
    limit = None if timeout is None else time.monotonic() + timeout
    seen = -1

    def news() -> None:
        nonlocal seen
        job = library.download_of(name)
        if job is not None and session.revision != seen:
            seen = session.revision
            tell(job)
        if limit is not None and time.monotonic() > limit:
            raise TimeoutError(f"The model {name} was not there after {timeout:g} seconds.")

    try:
        library.refresh()
        with told_to(progress) as tell:
            runtime.finish_model(LIST, news)
            model = library.find(name)
            if model is not None and model.installed:
                return
            if library.download_of(name) is None:
                library.download(name, half)
            runtime.finish_model(name, news)
    except MVDreamError as error:
        raise RuntimeError(str(error)) from None


def mesh_file(generated: bpy.types.Object) -> Path | None:
    """See `mvdream_blender.mesh_file`."""
    identifier = generated.get("mvdream_job")
    if not isinstance(identifier, str):
        return None
    file = result_file(runtime.session().configuration.user_folder, identifier)
    return file if file.is_file() else None
