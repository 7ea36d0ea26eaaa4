# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of the extension, and the one place where the version stands."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import backend
from mvdream_blender.configuration import version

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def manifest():
    return tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))


def test_version_is_the_same_everywhere(manifest):
    assert manifest["version"] == version() == backend.__version__


def test_identity(manifest):
    assert manifest["id"] == "mvdream_blender"
    assert "blender" not in manifest["name"].lower()
    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    assert set(manifest["permissions"]) == {"files", "network"}


def test_texts_keep_to_blenders_rules(manifest):
    for text in [manifest["tagline"], *manifest["permissions"].values()]:
        assert len(text) <= 64
        assert re.search(r"[\w)]$", text), f"{text!r} must not end in punctuation"


def test_the_two_trees_never_import_each_other():
    for tree, other in (("mvdream_blender", "backend"), ("backend", "mvdream_blender")):
        pattern = re.compile(rf"^\s*(from|import)\s+{other}\b", re.MULTILINE)
        guilty = [
            file for file in (ROOT / tree).rglob("*.py") if pattern.search(file.read_text(encoding="utf-8"))
        ]
        assert guilty == []


def test_parts_without_bpy_really_are():
    names = [
        file.stem
        for file in (ROOT / "mvdream_blender").glob("*.py")
        if "Never imports bpy" in file.read_text(encoding="utf-8")
    ]
    assert {"client", "tasks", "session", "environment", "backend_process"} <= set(names)
    program = f"import sys\nfor name in {names}: __import__('mvdream_blender.' + name)\n"
    program += "assert 'bpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_blenders_own_tool_accepts_it(extension_folder):
    bpy = pytest.importorskip("bpy")
    tool = (
        Path(bpy.utils.resource_path("LOCAL"))
        / "scripts"
        / "addons_core"
        / "bl_pkg"
        / "cli"
        / "blender_ext.py"
    )
    done = subprocess.run(
        [sys.executable, str(tool), "validate", str(extension_folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
