# SPDX-License-Identifier: GPL-3.0-or-later
"""`build.py demo` in a real Blender, with a stand-in backend that makes a small box at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from building import demo, extension
from building.environments import BACKEND, BLENDERS
from building.errors import BuildError
from building.layout import ROOT
from tests.foreground import in_foreground

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")

INTERRUPTED = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from building import command_line, demo, extension
demo.ensure = lambda environment: Path({fake!r} if environment.name == "backend" else {blender!r})
extension.build = lambda python: Path({zip!r})
sys.exit(command_line.main(["demo", "slow mug", "--out", {out!r}]))
"""


@pytest.fixture
def ready_made(default_blender, zip_file, fake_python, monkeypatch):
    """No environment is made and no zip built; the backend is the stand-in."""
    pythons = {BACKEND.name: fake_python, BLENDERS[default_blender.version].name: default_blender.python}
    monkeypatch.setattr(demo, "ensure", lambda environment: pythons[environment.name])
    monkeypatch.setattr(extension, "build", lambda python: zip_file)
    return BLENDERS[default_blender.version]


def test_leaves_a_scene_a_mesh_and_pictures(ready_made, default_blender, tmp_path, capfd):
    from PIL import Image

    out = tmp_path / "rote Tasse ☕"
    demo.run("rote Tasse ☕", 5, "draft", out, ready_made)
    assert sorted(file.name for file in out.iterdir()) == sorted(demo.RESULTS)
    assert (out / "mesh.glb").read_bytes()[:4] == b"glTF"
    with Image.open(out / "turnaround.png") as picture:
        assert picture.size == (1024, 512)
        # Every picture has background in its corner and the object in its middle.
        for column in range(4):
            for row in range(2):
                corner = picture.getpixel((256 * column + 3, 256 * row + 3))
                middle = picture.getpixel((256 * column + 128, 256 * row + 128))
                assert corner[:3] == (204, 207, 209)
                assert max(abs(a - b) for a, b in zip(corner[:3], middle[:3], strict=True)) > 20
    scene = look_into(default_blender.python, out / "scene.blend")
    assert scene == "rote Tasse ☕|5|True"
    said = capfd.readouterr()
    assert str(out) in said.out
    # Not the import: of so small a mesh it may be over before anybody looks, and is then no stage of its own.
    for stage in ("set-up", "start of the backend", "distillation", "pictures", "in all"):
        assert stage in said.out
    assert "Shaping the object" in said.err  # the bar
    assert "Fra:" not in said.out + said.err  # Blender's own words


def test_a_failed_job_is_its_sentence(ready_made, tmp_path):
    with pytest.raises(BuildError, match=r"^The disk is full: make room\.$"):
        demo.run("fail now", 0, "draft", tmp_path / "out", ready_made)
    assert not (tmp_path / "out").exists()


def test_earlier_results_survive_a_failure(ready_made, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mesh.glb").write_text("earlier")
    with pytest.raises(BuildError):
        demo.run("fail now", 0, "draft", tmp_path / "out", ready_made)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mesh.glb"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_process(default_blender, zip_file, fake_python, tmp_path, number):
    script = INTERRUPTED.format(
        root=str(ROOT),
        fake=str(fake_python),
        blender=str(default_blender.python),
        zip=str(zip_file),
        out=str(tmp_path / "out"),
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with in_foreground([sys.executable, "-c", script], env=environment) as process:
        wait_for(
            lambda: any(holds(each, "job1.json") for each in tmp_path.glob("mvdream-demo-*/profile")), process
        )
        assert len(users_of(tmp_path)) >= 2  # Blender, and the backend
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.terminate()  # else this test would wait for ever instead of failing
            raise
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.endswith("Stopped.\n")
    assert users_of(tmp_path) == []
    assert not (tmp_path / "out").exists()


def look_into(python: Path, scene: Path) -> str:
    code = (
        "import bpy, os, sys; bpy.ops.wm.open_mainfile(filepath=sys.argv[1])\n"
        "o = bpy.context.view_layer.objects.active\n"
        "packed = all(i.packed_file for i in bpy.data.images if i.source == 'FILE')\n"
        "print('LOOK', o.name + '|' + str(o['mvdream_seed']) + '|' + str(packed), flush=True); os._exit(0)\n"
    )
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        [str(python), "-c", code, str(scene)], capture_output=True, encoding="utf-8", env=environment
    )
    return next(line[5:] for line in done.stdout.splitlines() if line.startswith("LOOK "))


def users_of(folder: Path) -> list[str]:
    """Command lines of processes that name a folder: Blender with its task, the backend with its data."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        names_it = any(str(folder).encode() in word for word in words[1:])
        if names_it and b"-c" not in words:  # that is the build itself, which has the folder in its script
            found.append(b" ".join(words).decode())
    return found


def holds(folder, name) -> bool:
    """Unlike a glob's, a walk's folders may vanish meanwhile, as those of an extension being installed do."""
    return any(name in files for _, _, files in os.walk(folder))


def wait_for(happened, process) -> None:
    limit = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < limit, "it never came that far"
        time.sleep(0.05)
