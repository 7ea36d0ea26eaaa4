# SPDX-License-Identifier: GPL-3.0-or-later
"""Previews of views: the operator, the scripting call, the seed, and what is left when they are given up."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from fake_backend import PICTURES  # noqa: E402
from small_glb import png  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def session():
    return part("runtime").session()


def until(condition):
    limit = time.monotonic() + 60
    while not condition():
        assert session().tick(), session().error
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_operator_blocks_until_the_pictures_are_there(addon, capfd):
    bpy.context.scene.mvdream.seed = 8
    assert bpy.ops.mvdream.preview_views(prompt="a red mug", seed=3) == {"FINISHED"}
    views = session().views
    assert (views.prompt, views.seed) == ("a red mug", 3)
    assert views.picture.read_bytes() == png(PICTURES["views.png"])
    assert [file.read_bytes() for file in views.parts] == [
        png(colour) for name, colour in PICTURES.items() if name != "views.png"
    ]
    assert len(bpy.data.objects) == len(bpy.data.images) == 0
    assert "25 %  Sampling the views, step 1 of 4" in capfd.readouterr().err
    assert bpy.ops.mvdream.use_seed() == {"FINISHED"}
    assert bpy.context.scene.mvdream.seed == 3


def test_scripting_call(addon):
    seen = []
    picture = addon.preview_views("a blue chair", timeout=60, progress=lambda job: seen.append(job.headline))
    assert isinstance(picture, Path)
    assert picture.read_bytes() == png(PICTURES["views.png"])
    assert (seen[0], seen[-1]) == ("Starting the backend", "Done")
    again = addon.preview_views("a blue chair", timeout=60)
    assert again != picture  # Blender keeps what it has read under a name


def test_the_backend_is_asked_for_no_more_than_was_said(addon):
    addon.preview_views("a mug", seed=2, timeout=60)
    addon.preview_views("a mug", negative_prompt="red", timeout=60)
    jobs = [json.loads(file.read_text()) for file in sorted(session().backend.data.glob("job*.deleted"))]
    assert [job["kind"] for job in jobs] == ["views", "views"]
    asked = {"prompt": "a mug", "separate": True, "model": "auto"}
    assert jobs[0]["settings"] == asked | {"seed": 2}
    assert jobs[1]["settings"] == asked | {"seed": 0, "negative_prompt": "red"}


def test_a_mesh_after_its_views(addon):
    addon.preview_views("a red mug", timeout=60)
    assert addon.generate("a red mug", timeout=60).name == "a red mug"
    assert session().views.prompt == "a red mug"
    assert session().preview.name.endswith("-distil-4.png")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "The prompt is empty: say what to make"),
        ("mistake", "The colour is wrong"),
        ("fail", "The disk is full"),
    ],
)
def test_the_backends_sentences_reach_the_script(addon, prompt, message):
    with pytest.raises(RuntimeError, match=message):
        bpy.ops.mvdream.preview_views(prompt=prompt)
    with pytest.raises(RuntimeError, match=f"^{message}"):
        addon.preview_views(prompt)
    assert session().views is None
    assert session().unfinished == []
    assert list(session().backend.data.glob("job*.json")) == []


def test_a_backend_without_the_pictures_is_told(addon, monkeypatch):
    monkeypatch.setattr(part("viewing"), "PICTURE", "other.png")
    with pytest.raises(RuntimeError, match="has no pictures"):
        addon.preview_views("a mug", timeout=60)


def test_a_backend_writes_nothing_elsewhere(addon, monkeypatch, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    names = (f"view-/../../../../../../..{outside}/evil.sh", "view-..png", "view-090.png/../../e.png")
    job = part("job").Job
    take = job.apply
    monkeypatch.setattr(
        job, "apply", lambda self, answer: take(self, answer | {"files": [*answer["files"], *names]})
    )
    asked = []
    fetch = part("client").Client.file
    monkeypatch.setattr(
        part("client").Client, "file", lambda self, id, name: asked.append(name) or fetch(self, id, name)
    )
    addon.preview_views("a mug", timeout=60)
    assert sorted(asked) == sorted(PICTURES)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil.sh", "a/b.png", "/evil.sh", "link.png"])
def test_a_name_that_leads_elsewhere_is_not_written(enabled, tmp_path, name):
    folder = tmp_path / "views"
    folder.mkdir()
    (folder / "a").mkdir()
    (folder / "link.png").symlink_to(tmp_path / "evil.sh")
    with pytest.raises(part("errors").MVDreamError, match="leads elsewhere"):
        part("following").write(folder, name if name != "/evil.sh" else str(tmp_path / "evil.sh"), b"x", 3)
    assert not (tmp_path / "evil.sh").exists()
    assert part("following").write(folder, "fine.png", b"x", 3).read_bytes() == b"x"


def test_one_thing_at_a_time(addon):
    session().preview_views({"prompt": "slow one"})
    for operator in (bpy.ops.mvdream.preview_views, bpy.ops.mvdream.generate):
        with pytest.raises(RuntimeError, match='still making "slow one"'):
            operator(prompt="a red mug")
    bpy.ops.mvdream.cancel()
    assert not session().busy


def test_cancelled_views_leave_nothing(addon):
    session().preview_views({"prompt": "slow one"})
    until(lambda: session().job.fraction == 0.5)
    bpy.ops.mvdream.cancel()
    with pytest.raises(part("errors").Cancelled):
        part("runtime").finish(30)
    assert session().job.phase is part("job").Phase.CANCELLED
    assert session().error is None
    assert list(session().backend.data.glob("job*.json")) == []
    assert not bpy.ops.mvdream.use_seed.poll()


def test_timeout_cancels(addon):
    with pytest.raises(TimeoutError):
        addon.preview_views("slow one", timeout=2.5)
    assert not session().busy


def test_views_that_were_lost_with_the_backend_do_not_go_on(addon):
    with pytest.raises(RuntimeError, match="The backend ended while it was working"):
        bpy.ops.mvdream.preview_views(prompt="die once")
    assert session().unfinished == []
    assert session().error.fix == "restart"
    assert bpy.ops.mvdream.restart_backend() == {"FINISHED"}
    assert [file.name for file in session().backend.data.glob("job1.*")] == ["job1.discarded"]


def test_views_that_were_under_way_when_blender_ended_are_deleted_by_the_next(addon):
    runtime = part("runtime")
    session().preview_views({"prompt": "slow one"})
    until(lambda: session().job.fraction == 0.5)
    runtime.stop()
    runtime.start()
    pending = part("pending").PendingJobs(session().configuration.user_folder / "pending")
    assert pending.discarded() == ["job1"]
    assert session().unfinished == []
    addon.preview_views("a mug", timeout=60)
    assert pending.discarded() == []
    assert [file.name for file in session().backend.data.glob("job1.*")] == ["job1.deleted"]


def test_a_new_seed_is_drawn_within_bounds_and_can_be_undone(addon):
    bpy.context.scene.mvdream.seed = 8
    bpy.ops.ed.undo_push(message="before")
    drawn = []
    for _ in range(3):
        # With undo, as a button calls it.
        assert bpy.ops.mvdream.new_seed("EXEC_DEFAULT", True) == {"FINISHED"}
        drawn.append(bpy.context.scene.mvdream.seed)
    assert len(set(drawn)) == 3
    assert all(0 <= seed < 2**31 for seed in drawn)
    for before in (drawn[1], drawn[0], 8):
        bpy.ops.ed.undo()
        assert bpy.context.scene.mvdream.seed == before


@pytest.mark.slow
def test_the_real_backend_draws_a_red_mug(addon, monkeypatch):
    python = os.environ.get("MVDREAM_TEST_BACKEND_PYTHON", "")
    if not Path(python).is_file():
        pytest.skip("MVDREAM_TEST_BACKEND_PYTHON names no Python with the backend's packages")
    monkeypatch.setenv("MVDREAM_BACKEND_PYTHON", python)
    picture = addon.preview_views("a red mug", seed=1, timeout=300)
    image = bpy.data.images.load(str(picture))
    width, height = image.size
    assert width > 4 * height
    pixels = list(image.pixels)
    reds = [pixels[at] > 2 * max(pixels[at + 1 : at + 3]) for at in range(0, len(pixels), 4)]
    for view in range(4):
        columns = range(view * width // 4, (view + 1) * width // 4)
        share = sum(reds[row * width + column] for row in range(height) for column in columns)
        assert share > 0.05 * height * len(columns)
    assert len(session().views.parts) == 4
