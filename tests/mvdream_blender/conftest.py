# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on as Blender loads it: an extension in a throw-away profile.

Tests of the parts without bpy run anywhere.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from extension_parts import EXTENSION, part

ROOT = Path(__file__).parents[2]
PROFILE = Path(tempfile.mkdtemp(prefix="mvdream-profile-"))

# Before anything imports bpy, which reads it once.
os.environ["BLENDER_USER_RESOURCES"] = str(PROFILE)
os.environ.pop("MVDREAM_BACKEND_PYTHON", None)
for folder in (ROOT, Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Blender 4.2 and 4.5 crash while the interpreter tidies up after bpy; all reports are written by now."""
    shutil.rmtree(PROFILE, ignore_errors=True)
    session = config.pluginmanager.get_plugin("session")
    if "bpy" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(getattr(session, "exitstatus", _status["code"])))


_status = {"code": 0}


def pytest_sessionfinish(session, exitstatus):
    _status["code"] = int(exitstatus)


@pytest.fixture(scope="session")
def extension_folder():
    """The extension laid out as in the built zip, made of links to the checkout."""
    folder = PROFILE / "extensions" / "user_default" / "mvdream_blender"
    folder.mkdir(parents=True)
    for source in [
        *(ROOT / "mvdream_blender").iterdir(),
        ROOT / "blender_manifest.toml",
        ROOT / "backend",
        ROOT / "requirements",
    ]:
        if source.name != "__pycache__":
            (folder / source.name).symlink_to(source)
    return folder


@pytest.fixture(scope="session")
def enabled(extension_folder):
    """The enabled add-on's module, once for all tests."""
    pytest.importorskip("bpy")
    import addon_utils

    module = addon_utils.enable(EXTENSION, default_set=True)
    assert module is not None
    yield module
    addon_utils.disable(EXTENSION, default_set=True)


@pytest.fixture
def addon(enabled, fake_python, monkeypatch):
    """The add-on in an empty scene, with a fake backend."""
    import bpy

    monkeypatch.setenv("MVDREAM_BACKEND_PYTHON", str(fake_python))
    bpy.ops.wm.read_homefile(use_empty=True)
    runtime = part("runtime")
    runtime.stop()
    shutil.rmtree(bpy.utils.extension_path_user(EXTENSION, path=""), ignore_errors=True)
    runtime.start()
    yield enabled
    part("tasks").run(runtime.session().backend.end(lambda _: True), 30)


@pytest.fixture
def fake_python(tmp_path):
    """An executable that takes the backend's command line and runs the fake one."""
    file = tmp_path / "fake python"
    program = Path(__file__).with_name("fake_backend.py")
    # Through sh: the interpreter's path in a "#!" line may be too long or hold blanks.
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    file.chmod(0o755)
    return file


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """The backend's, not installed, with a fake Python."""
    from fake_python import make_environment

    return make_environment(tmp_path, monkeypatch)
