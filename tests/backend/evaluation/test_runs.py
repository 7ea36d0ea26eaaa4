# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes made or found, scored in worker processes, and written by the command."""

import json
import os
import shutil
import signal
import sys
import time
import types
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.cli import main
from backend.commands import evaluate
from backend.diffusion.registry import SHIPPED
from backend.errors import UserError
from backend.evaluation import runs
from backend.evaluation.heldout import FOLDER
from backend.evaluation.runs import Finished, Task, choose, run_one
from backend.evaluation.scoring import Score
from backend.mesh import TriMesh, write_glb
from tests.foreground import in_foreground

ROOT = Path(__file__).resolve().parents[3]
BLOCK = "checkered black and pink block"


def colored(mesh, color):
    texture = np.full((8, 8, 3), color, np.uint8)
    return TriMesh(mesh.vertices, mesh.faces, uv=np.full((len(mesh.vertices), 2), 0.5), texture=texture)


@pytest.fixture
def block(cube):
    """A gray cube as large as the reference's."""
    return colored(cube((0, 0, 0), 0.85), (128, 128, 128))


def test_prompts_are_spread_over_all_sorts(heldout):
    assert choose(heldout.references, 50) == list(heldout.references)
    few = choose(heldout.references, 6)
    assert len(few) == 6
    assert few[0] is heldout.references[0]
    assert few[-1].composed
    for count in (0, 51):
        with pytest.raises(UserError, match=f"50 held-out prompts; {count}"):
            choose(heldout.references, count)


def test_found_mesh_is_scored(tmp_path, block, reference):
    truth = reference(BLOCK)
    write_glb(tmp_path / "mesh.glb", block, "block")
    (tmp_path / "seconds.json").write_text('{"seconds": 12.5}')
    done = run_one(Task(FOLDER / truth.slug, FOLDER, tmp_path, None))
    assert done.score.kind_right
    assert not done.score.colors_right
    assert done.score.iou > 0.9
    assert done.score.seconds == 12.5
    assert done.views.shape == (8, 128, 128, 4)


def test_missing_mesh_is_a_clear_error(tmp_path, reference):
    with pytest.raises(UserError, match=r"mesh\.glb"):
        run_one(Task(FOLDER / reference(BLOCK).slug, FOLDER, tmp_path, None))


def test_made_mesh_is_timed_and_starts_afresh(tmp_path, block, reference, monkeypatch):
    calls = []

    def generate(settings, folder):
        assert not (folder / "checkpoint.safetensors").exists()
        calls.append(settings)
        write_glb(folder / "mesh.glb", block, "block")

    pipeline = types.ModuleType("backend.pipeline")
    pipeline.generate, pipeline.CHECKPOINT = generate, "checkpoint.safetensors"
    monkeypatch.setitem(sys.modules, "backend.pipeline", pipeline)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"old")
    truth = reference(BLOCK)
    settings = {"prompt": truth.prompt, "model": "small", "seed": 3}
    done = run_one(Task(FOLDER / truth.slug, FOLDER, tmp_path, settings))
    assert (calls[0].prompt, calls[0].seed) == (truth.prompt, 3)
    assert json.loads((tmp_path / "seconds.json").read_text())["seconds"] == pytest.approx(
        done.score.seconds, abs=0.01
    )


def test_a_prompt_begins_when_another_is_finished(heldout, monkeypatch):
    told = []

    def submit(work, task):
        future = Future()
        future.set_result(Finished(Score(task.folder.name, ""), None))
        return future

    monkeypatch.setattr(runs, "workers", lambda count, threads: nullcontext(submit))
    references = heldout.references[:3]
    tasks = [Task(FOLDER / ref.slug, FOLDER, FOLDER / ref.slug, None) for ref in references]
    for done in runs.run_all(tasks, references, 1, lambda ref: told.append(f"begun {ref.slug}")):
        told.append(f"done {done.score.slug}")
    assert told == [f"{word} {ref.slug}" for ref in references for word in ("begun", "done")]


@pytest.mark.parametrize(
    ("done", "total", "jobs", "elapsed", "said"),
    [
        (1, 50, 1, 20.0, ", 16:20 left"),
        (1, 4, 2, 30.0, ", 50 s left"),  # one and a half of four in half a minute
        (8, 9, 8, 34.0, ", 32 s left"),  # the last may have just begun
        (20, 50, 8, 94.0, ", 1:46 left"),  # 23.5 of 50
        (4, 4, 2, 60.0, ""),
    ],
)
def test_how_long_the_rest_takes(done, total, jobs, elapsed, said):
    assert evaluate._left(done, total, jobs, elapsed) == said


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
@pytest.mark.parametrize(("tell", "number"), [("killpg", "SIGINT"), ("kill", "SIGTERM")])
def test_ctrl_c_ends_a_measurement_with_one_line(tmp_path, tell, number):
    """The second one comes while the interpreter ends, as build.py's may."""
    command = [sys.executable, "-m", "backend", "evaluate", "--prompts", "2", "--out", str(tmp_path)]
    with in_foreground(command, cwd=ROOT, start_new_session=True) as process:
        assert process.stdout.readline() == "a gray apple: begun\n"
        getattr(os, tell)(process.pid, getattr(signal, number))
        assert process.stderr.readline() == "Stopped.\n"
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        # Pipes are closed when the last process that holds them is gone.
        assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 130
    assert not list(tmp_path.rglob("mesh.glb"))


def test_command_scores_a_folder_and_says_what_is_missing(tmp_path, block, reference, capsys):
    truth = reference("a gray apple")  # the first of the references: --prompts 1 takes it
    source = tmp_path / "meshes"
    (source / truth.slug).mkdir(parents=True)
    write_glb(source / truth.slug / "mesh.glb", block, "block")
    out = tmp_path / "out"
    assert main(["evaluate", "--from", str(source), "--prompts", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].startswith("1/2 a gray apple: IoU ")
    assert " left" not in printed  # meshes that are there take no time to speak of
    results = json.loads((out / "results.json").read_text())
    apple, other = results["prompts"]
    assert apple["prompt"] == "a gray apple"
    assert apple["error"] is None
    assert not apple["right"]
    assert "mesh.glb" in other["error"]
    assert results["summary"]["failed"] == 1
    assert "| a gray apple |" in (out / "table.md").read_text()
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 300
    assert "right in kind and colours: 0 of 2" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--from", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--prompts", "99"], "99 can't be chosen"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--preset", "no-such-preset"], "no-such-preset"),
        (["--heldout", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_bad_input_is_named(tmp_path, arguments, words, capsys):
    assert main(["evaluate", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_small_encoder_that_is_missing_is_named_before_anything_is_made(tmp_path, capsys):
    model = shutil.copytree(SHIPPED / "small", tmp_path / "mine", ignore=shutil.ignore_patterns("tiny_vae"))
    arguments = ["--model", str(model), "--tiny-encoder-until", "0.5", "--out", str(tmp_path / "out")]
    assert main(["evaluate", *arguments]) == 2
    assert "the model mine has no small image encoder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_place_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "meshes").mkdir()
    arguments = ["--from", str(tmp_path / "meshes"), "--out", str(tmp_path / "file" / "out")]
    assert main(["evaluate", *arguments]) == 2
    assert "Choose another --out" in capsys.readouterr().err
