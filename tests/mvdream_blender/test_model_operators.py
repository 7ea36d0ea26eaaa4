# SPDX-License-Identifier: GPL-3.0-or-later
"""Models are downloaded, stopped and removed by operators, beside other work, through a backend process."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")

PUBLISHED = "mvdream-sd21"


@pytest.fixture
def online(addon, monkeypatch, tmp_path):
    """The add-on in a Blender that may use the internet, on a computer without models."""
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path / "models"))
    runtime = part("runtime")
    configuration = runtime._configuration
    monkeypatch.setattr(runtime, "_configuration", lambda: replace(configuration(), online=True))
    runtime.session().library.look()
    yield addon
    runtime.session().library.close()


def session():
    return part("runtime").session()


def library():
    return session().library


def until(condition):
    limit = time.monotonic() + 60
    while not condition():
        assert session().tick() | library().tick() or condition()
        assert time.monotonic() < limit
        time.sleep(0.01)


def installed():
    return [model.name for model in library().models if model.installed]


def jobs(pattern="job*.json"):
    return [json.loads(file.read_text()) for file in sorted(session().backend.data.glob(pattern))]


def test_a_model_comes_and_goes(online, capfd):
    assert installed() == ["small"]
    assert bpy.ops.mvdream.download_model(name=PUBLISHED, half=True) == {"FINISHED"}
    said = capfd.readouterr().err
    assert "25 %  Downloading c.pt: 1.00 GB of 5.20 GB, 6:40 min left" in said
    assert installed() == ["small", PUBLISHED, "mine"]
    [job] = jobs("job*.deleted")
    assert (job["kind"], job["settings"]["name"], job["settings"]["half"]) == ("download", PUBLISHED, True)
    assert bpy.ops.mvdream.remove_model(name=PUBLISHED) == {"FINISHED"}
    assert installed() == ["small", "mine"]
    with pytest.raises(RuntimeError, match="There is no model 'mvdream-sd21'"):
        bpy.ops.mvdream.remove_model(name=PUBLISHED)


def test_offline_nothing_is_downloaded(addon):
    with pytest.raises(RuntimeError, match=r"stay offline.*Allow Online Access"):
        bpy.ops.mvdream.download_model(name=PUBLISHED)
    assert not library().busy
    with pytest.raises(part("errors").StaysOffline) as caught:
        library().download(PUBLISHED)
    assert caught.value.fix == "online"
    with pytest.raises(RuntimeError, match="stay offline"):
        addon.download_model(PUBLISHED)


def test_a_script_waits_for_a_model(online):
    seen = []
    online.download_model(PUBLISHED, half=True, timeout=60, progress=lambda job: seen.append(job.fraction))
    assert PUBLISHED in installed()
    assert seen == sorted(seen)
    assert 0 < len(set(seen)) < 12
    [job] = jobs("job*.deleted")
    assert job["settings"]["half"] is True
    online.download_model(PUBLISHED, timeout=60)
    assert len(jobs("job*")) == 1
    with pytest.raises(RuntimeError, match="The disk is full"):
        online.download_model("fail-model", timeout=60)
    with pytest.raises(TimeoutError, match=r"slow-model was not there after 0\.5 seconds"):
        online.download_model("slow-model", timeout=0.5)
    until(lambda: not library().busy)
    assert jobs() == []


def test_the_model_has_to_be_named(online):
    with pytest.raises(RuntimeError, match="by its name: mvdream-sd21, mvdream-sd15"):
        bpy.ops.mvdream.download_model()
    with pytest.raises(RuntimeError, match="by its name: there is none"):
        bpy.ops.mvdream.remove_model()
    with pytest.raises(RuntimeError, match="no download of a model 'x'"):
        bpy.ops.mvdream.cancel_download(name="x")


def test_the_backends_whole_sentence_is_told_and_the_next_try_forgets_it(online):
    with pytest.raises(RuntimeError, match="The disk is full: make room"):
        bpy.ops.mvdream.download_model(name="fail-model")
    assert str(library().errors["fail-model"]) == "The disk is full: make room."
    assert jobs() == []
    library().download("fail-model")
    assert library().errors == {}


def test_a_download_keeps_nothing_else_waiting(online):
    library().download("slow-model")
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    assert online.generate("a red mug", timeout=60).name == "a red mug"
    assert library().download_of("slow-model").fraction == 0.5
    with pytest.raises(RuntimeError, match="is being downloaded already"):
        bpy.ops.mvdream.download_model(name="slow-model")
    with pytest.raises(RuntimeError, match="is being downloaded already"):
        bpy.ops.mvdream.remove_model(name="slow-model")
    assert bpy.ops.mvdream.cancel_download(name="slow-model") == {"FINISHED"}
    until(lambda: not library().busy)
    assert library().errors == {}
    assert [job["kind"] for job in jobs("job*.deleted")] == ["download", "generate"]


def test_two_pieces_of_work_start_one_backend(online):
    library().download(PUBLISHED)
    session().generate({"prompt": "a red mug"}, part("pending").Place())
    until(lambda: not session().busy and not library().busy)
    assert session().error is None
    assert library().errors == {}
    assert session().backend.log_file.read_text().count("listening") == 1
    assert PUBLISHED in installed()


def test_cancelled_before_the_backend_knows(online):
    library().download(PUBLISHED)
    library().cancel(PUBLISHED)
    assert not library().is_busy_with(PUBLISHED)
    assert library().download_of(PUBLISHED) is None
    assert jobs() == []


def test_the_backend_is_not_stopped_under_a_download(online):
    library().download("slow-model")
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    for operator in (bpy.ops.mvdream.stop_backend, bpy.ops.mvdream.restart_backend):
        with pytest.raises(RuntimeError, match="slow-model is being downloaded by this backend"):
            operator()
    assert library().download_of("slow-model").fraction == 0.5
    library().cancel("slow-model")
    until(lambda: not library().busy)
    assert bpy.ops.mvdream.stop_backend() == {"FINISHED"}


def test_the_next_blender_joins_a_download(online):
    library().download("slow-model")
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    runtime = part("runtime")
    runtime.stop()
    runtime.start()
    assert session().backend.left_running
    assert library().download_of("slow-model") is None
    assert bpy.ops.mvdream.refresh_models() == {"FINISHED"}
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    library().cancel("slow-model")
    until(lambda: not library().busy)
    assert jobs() == []


def test_an_offline_blender_stops_what_an_earlier_one_began(online, monkeypatch):
    library().download("slow-model")
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    runtime = part("runtime")
    runtime.stop()
    allowed = runtime._configuration
    monkeypatch.setattr(runtime, "_configuration", lambda: replace(allowed(), online=False))
    runtime.start()
    assert bpy.ops.mvdream.refresh_models() == {"FINISHED"}
    assert [job["status"] for job in jobs()] == ["cancelled"]
    assert library().download_of("slow-model") is None


FOLLOWING = """
import sys, time
from pathlib import Path
from mvdream_blender.downloading import _note
from mvdream_blender.pending import PendingJobs, Place
PendingJobs(Path(sys.argv[1])).add(_note("job1"), "slow-model", Place())
print("noted", flush=True)
time.sleep(600)
"""


def test_an_offline_blender_leaves_alone_what_a_living_one_follows(online, monkeypatch):
    library().download("slow-model")
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    runtime = part("runtime")
    notes = session().configuration.user_folder / "downloads"
    other = subprocess.Popen(
        [sys.executable, "-c", FOLLOWING, str(notes)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        assert other.stdout.readline().strip() == b"noted"
        runtime.stop()
        allowed = runtime._configuration
        monkeypatch.setattr(runtime, "_configuration", lambda: replace(allowed(), online=False))
        runtime.start()
        assert bpy.ops.mvdream.refresh_models() == {"FINISHED"}
        assert [job["status"] for job in jobs()] == ["running"]
    finally:
        other.kill()
        other.wait()
    assert bpy.ops.mvdream.refresh_models() == {"FINISHED"}
    assert [job["status"] for job in jobs()] == ["cancelled"]
    assert bpy.ops.mvdream.refresh_models() == {"FINISHED"}
    assert list(notes.glob("*.json")) == []


def test_a_download_that_is_stopped_elsewhere_is_told(online):
    library().download("slow-model")
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    other = part("tasks").run(session().backend.find(), 10)
    part("tasks").run(other.cancel("job1"), 10)
    until(lambda: not library().busy)
    assert str(library().errors["slow-model"]) == (
        "The download was stopped elsewhere; Download goes on from there."
    )


@pytest.mark.parametrize("there", [True, False])
def test_a_download_whose_end_another_blender_saw_first(online, there):
    library().download("slow-model")
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    other = part("tasks").run(session().backend.find(), 10)
    if there:
        (session().backend.data / "model mine").touch()
        library().download_of("slow-model").settings["name"] = "mine"
    part("tasks").run(other.cancel("job1"), 10)
    part("tasks").run(other.delete("job1"), 10)
    until(lambda: not library().busy)
    said = str(library().errors.get("slow-model", ""))
    assert said == ("" if there else part("downloading").ELSEWHERE)


def test_pressing_download_joins_what_is_under_way(online):
    library().download("slow-model")
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    part("runtime").stop()
    part("runtime").start()
    library().download("slow-model")
    until(lambda: library().download_of("slow-model").fraction == 0.5)
    assert len(jobs()) == 1
    library().cancel("slow-model")
    until(lambda: not library().busy)


def test_a_lost_backend_is_told(online):
    with pytest.raises(RuntimeError, match="The backend ended while it was working"):
        bpy.ops.mvdream.download_model(name="die once")
    assert bpy.ops.mvdream.download_model(name=PUBLISHED) == {"FINISHED"}


def test_refreshing_starts_no_backend(online, tmp_path):
    folder = tmp_path / "models" / "own"
    folder.mkdir(parents=True)
    (folder / "mvdream.json").write_text('{"name": "own", "image_size": 64, "title": "Own"}')
    assert bpy.ops.mvdream.refresh_models() == {"FINISHED"}
    assert installed() == ["small", "own"]
    assert not (session().backend.data / "service.json").exists()


def test_every_job_brings_the_backends_list(online):
    assert "mine" not in installed()
    online.preview_views("a mug", timeout=60)
    assert "mine" in installed()


def test_the_model_of_a_job(online):
    made = online.generate("a mug", model="mine", timeout=60)
    assert made["mvdream_model"] == "mine"
    assert bpy.ops.mvdream.generate(prompt="a red mug") == {"FINISHED"}
    assert bpy.context.object["mvdream_model"] == "small"
    assert bpy.ops.mvdream.preview_views(prompt="a mug", model="mine") == {"FINISHED"}
    models = [job["settings"]["model"] for job in jobs("job*.deleted")]
    assert models == ["mine", "auto", "mine"]
    assert all("negative_prompt" not in job["settings"] for job in jobs("job*.deleted"))


def test_a_negative_prompt_is_sent_where_there_is_one(online):
    online.generate("a mug", negative_prompt="red", timeout=60)
    online.generate("a mug", negative_prompt=" ", timeout=60)
    sent = [job["settings"].get("negative_prompt") for job in jobs("job*.deleted")]
    assert sent == ["red", None]


def test_ctrl_c_stops_a_download(online, monkeypatch):
    def interrupt(job):
        if job.fraction == 0.5:
            raise KeyboardInterrupt

    library().download("slow-model")
    with pytest.raises(KeyboardInterrupt):
        part("runtime").finish_model(
            "slow-model", lambda: (job := library().download_of("slow-model")) and interrupt(job)
        )
    assert not library().is_busy_with("slow-model")
    assert [Path(file).suffix for file in session().backend.data.glob("job1.*")] == [".deleted"]


@pytest.mark.slow
def test_the_real_backend_says_what_is_wrong_with_the_hub(online, monkeypatch, tmp_path):
    python = os.environ.get("MVDREAM_TEST_BACKEND_PYTHON", "")
    if not Path(python).is_file():
        pytest.skip("MVDREAM_TEST_BACKEND_PYTHON names no Python with the backend's packages")
    monkeypatch.setenv("MVDREAM_BACKEND_PYTHON", python)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    folder = tmp_path / "models" / "own"
    folder.mkdir(parents=True)
    (folder / "mvdream.json").write_text('{"name": "own", "title": "Own", "image_size": 64}')
    with pytest.raises(RuntimeError, match=r"127\.0\.0\.1:9 can't be reached"):
        bpy.ops.mvdream.download_model(name=PUBLISHED)
    assert installed() == ["small", "own"]
    assert bpy.ops.mvdream.remove_model(name="own") == {"FINISHED"}
    assert installed() == ["small"]
    assert not folder.exists()
    with pytest.raises(RuntimeError, match="ships with the program"):
        bpy.ops.mvdream.remove_model(name="small")
    with pytest.raises(RuntimeError, match="is not downloaded yet"):
        bpy.ops.mvdream.generate(prompt="a mug", model=PUBLISHED)
