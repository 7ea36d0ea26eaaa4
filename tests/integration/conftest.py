# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip, and real Blenders that have never seen the project. The environments are build.py's own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from building import environments, extension
from building.checks import surroundings
from building.environments import BLENDERS, DEFAULT_BLENDER

FAKE_BACKEND = Path(__file__).parents[1] / "mvdream_blender" / "fake_backend.py"

# What every script does first: install the zip as a user would.
INSTALL = """
import json, os, sys
import bpy
zip_file, answer_file = sys.argv[1:3]
bpy.ops.wm.read_homefile(use_empty=True)
bpy.ops.extensions.package_install_files(filepath=zip_file, repo="user_default", enable_on_install=True)
ADDON = "bl_ext.user_default.mvdream_blender"
def finish(**answer):
    with open(answer_file, "w") as file:
        json.dump(answer, file)
    if ADDON in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_disable(module=ADDON)
    sys.stdout.flush()
    os._exit(0)  # Blender 4.2 may crash while the interpreter tidies up after it
"""


@dataclass
class Blender:
    """A Blender as a Python module, and a profile that is thrown away."""

    version: str
    python: Path
    profile: Path

    def run(self, zip_file: Path, script: str, **variables: object) -> dict:
        """Installs the zip, runs a script that ends with `finish(...)`, and returns what it said there."""
        file, answer = self.profile / "script.py", self.profile / "answer.json"
        file.write_text(INSTALL + script, encoding="utf-8")
        named = {name: str(value) for name, value in variables.items()}
        done = subprocess.run(
            [str(self.python), str(file), str(zip_file), str(answer)],
            env={**surroundings(), "BLENDER_USER_RESOURCES": str(self.profile), **named},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert answer.exists(), done.stdout[-2000:] + done.stderr[-4000:]
        return json.loads(answer.read_text(encoding="utf-8"))


def ready(version: str) -> Path:
    """The Python of a Blender environment; the test is skipped where it was not made."""
    python = environments.ready(BLENDERS[version])
    if python is None:
        pytest.skip(f"`python3 build.py env blender-{version}` makes what this test needs")
    return python


@pytest.fixture(params=list(BLENDERS))
def blender(request, tmp_path):
    """Every Blender there is, one after the other."""
    return Blender(request.param, ready(request.param), tmp_path)


@pytest.fixture
def default_blender(tmp_path):
    return Blender(DEFAULT_BLENDER, ready(DEFAULT_BLENDER), tmp_path)


@pytest.fixture(scope="session")
def zip_file(tmp_path_factory):
    """The extension as it is handed to users."""
    return extension.build(ready(DEFAULT_BLENDER), tmp_path_factory.mktemp("dist"))


@pytest.fixture
def fake_python(tmp_path):
    """Takes the place of the backend's Python: runs the stand-in backend, which makes a small box."""
    file = tmp_path / "fake python"
    file.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE_BACKEND}" "$@"\n')
    file.chmod(0o755)
    return file
