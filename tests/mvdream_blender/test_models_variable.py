# SPDX-License-Identifier: GPL-3.0-or-later
"""The variable that names the folder for models: wrong, or relative."""

import sys

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402

BAD = "~nosuchuser/models"
TOLD = r"no folder for models: the variable MVDREAM_MODELS is '~nosuchuser/models'\. Set MVDREAM_MODELS"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def test_a_folder_of_nobody_is_told_and_keeps_nothing_else_from_working(addon, monkeypatch):
    runtime, library = part("runtime"), part("library")
    runtime.stop()
    monkeypatch.setenv("MVDREAM_MODELS", BAD)
    runtime.start()
    shown = runtime.session().library
    assert shown.models == part("models").KNOWN
    with pytest.raises(part("errors").MVDreamError, match=TOLD):
        raise shown.errors[library.LIST]
    with pytest.raises(RuntimeError, match=TOLD):
        addon.generate("a red mug", timeout=60)
    monkeypatch.delenv("MVDREAM_MODELS")
    assert addon.generate("a red mug", timeout=60).name == "a red mug"


def test_the_backend_gets_the_folder_as_blender_sees_it(addon, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MVDREAM_MODELS", "my models")
    assert part("models_folder").models_folder() == tmp_path / "my models"
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "models=$MVDREAM_MODELS"; exit 1\n')
    python.chmod(0o755)
    monkeypatch.setenv("MVDREAM_BACKEND_PYTHON", str(python))
    with pytest.raises(RuntimeError, match=f"models={tmp_path}/my models"):
        addon.generate("a red mug", timeout=60)
