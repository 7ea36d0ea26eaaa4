# SPDX-License-Identifier: GPL-3.0-or-later
"""`generate` from the command line: what is refused, what is kept, two at once."""

import argparse
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend.cli import main
from backend.service.locks import FileLock
from backend.settings import GenerateSettings

ROOT = Path(__file__).resolve().parents[3]


def test_a_word_it_does_not_know_leaves_nothing_behind_and_loads_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "a red dragon", "-o", str(tmp_path / "x.glb")]) == 2
    assert "does not know 'dragon'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_word_of_the_negative_prompt_is_told_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["generate", "a red mug", "-o", str(tmp_path / "x.glb"), "--negative", "ugly, blurry"]
    assert main(command) == 2
    assert capsys.readouterr().err.startswith(
        "The negative prompt can't be used. The model does not know 'ugly', 'blurry'. Did you mean 'blue'"
    )


@pytest.mark.parametrize("command", ["generate", "views", "evaluate"])
def test_a_device_that_is_missing_is_told_before_anything_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    out = tmp_path / {"generate": "x.glb", "views": "x.png", "evaluate": "x"}[command]
    words = ["--out", str(out), *([] if command == "evaluate" else ["a red mug"])]
    assert main([command, *words, "--device", "cuda"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("The device 'cuda' is not there")
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_broken_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    assert main(["generate", "a red mug", "-o", str(tmp_path / "x.glb"), "--model", str(model)]) == 2
    assert "mvdream.json is missing" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_two_with_the_same_output_do_not_disturb_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "x.glb.job"
    job.mkdir()
    other = FileLock(job / "in-use.lock")
    assert other.acquire()
    assert main(["generate", "a red mug", "-o", str(tmp_path / "x.glb")]) == 2
    assert f"Another process (number {os.getpid()}) is making this file" in capsys.readouterr().err
    other.release()


def test_a_job_that_fails_with_nothing_to_go_on_from_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from backend import pipeline

    command = ["generate", "a red mug", "-o", str(tmp_path / "x.glb")]
    job = tmp_path / "x.glb.job"

    def fail(settings: object, folder: Path, **_: object) -> None:
        (folder / pipeline.SETTINGS).write_text("{}")
        (folder / pipeline.PREVIEW).write_bytes(b"")
        (folder / f"{pipeline.CHECKPOINT}.part").write_bytes(b"")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

    monkeypatch.setattr(pipeline, "generate", fail)
    assert main(command) == 2
    assert list(tmp_path.iterdir()) == []
    for kept in (pipeline.CHECKPOINT, "checkpoint-0123456789ab.safetensors"):  # this job's, another's
        job.mkdir()
        (job / kept).write_bytes(b"")
        assert main(command) == 2
        assert {kept, pipeline.SETTINGS, pipeline.PREVIEW} <= {path.name for path in job.iterdir()}
        shutil.rmtree(job)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_before_the_work_has_begun_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from backend.commands import generate

    checked = generate._settings

    def during_imports(arguments: argparse.Namespace) -> GenerateSettings:
        os.kill(os.getpid(), getattr(signal, name))
        return checked(arguments)

    monkeypatch.setattr(generate, "_settings", during_imports)
    assert main(["generate", "a red mug", "-o", str(tmp_path / "x.glb")]) == 130
    assert capsys.readouterr().err == "Stopped.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["folder", "folder.glb", ""])
def test_a_folder_as_output_is_called_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(exist_ok=True)
    assert main(["generate", "a red mug", "-o", name]) == 2
    assert "is a folder. Name the .glb file to write" in capsys.readouterr().err


def test_a_name_that_is_too_long_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a red mug", "-o", str(tmp_path / f"{'n' * 300}.glb")]) == 2
    assert "can't be written to" in capsys.readouterr().err


def test_a_finished_mesh_that_has_no_place_to_go_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from backend import pipeline

    def finish(settings: object, folder: Path, **_: object) -> SimpleNamespace:
        (folder / pipeline.MESH).write_bytes(b"mesh")
        (tmp_path / "x.glb").mkdir()  # as good as a file that another program holds
        (tmp_path / "x.glb" / "y").touch()
        return SimpleNamespace(mesh=folder / pipeline.MESH)

    monkeypatch.setattr(pipeline, "generate", finish)
    assert main(["generate", "a red mug", "-o", str(tmp_path / "x.glb")]) == 2
    assert f"It lies in {tmp_path / 'x.glb.job' / pipeline.MESH}." in capsys.readouterr().err
    assert (tmp_path / "x.glb.job" / pipeline.MESH).read_bytes() == b"mesh"


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
@pytest.mark.slow
def test_a_terminal_that_is_closed_costs_no_step(tmp_path: Path) -> None:
    import pty

    command = [sys.executable, "-m", "backend", "generate", "a red mug", "-o", str(tmp_path / "x.glb")]
    command += ["--steps", "30", "--checkpoint-every", "1000", "--texture-size", "64"]
    terminal, end = pty.openpty()
    with subprocess.Popen(command, cwd=ROOT, stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        seen = b""
        while not re.search(rb"Shaping the object [1-9]", seen):
            seen += os.read(terminal, 1024)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)  # what the terminal's own session would get
        assert process.wait(300) == 130
    assert (tmp_path / "x.glb.job" / "checkpoint.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_keeps_the_step_it_came_in_and_the_same_command_goes_on(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "backend", "generate", "a red mug", "-o", str(tmp_path / "x.glb")]
    command += ["--steps", "30", "--checkpoint-every", "1000", "--texture-size", "64"]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as first:
        assert first.stderr is not None
        seen = ""
        limit = time.monotonic() + 300
        while not re.search(r"Shaping the object [1-9]", seen):
            assert time.monotonic() < limit, seen
            seen += first.stderr.readline()
        first.send_signal(getattr(signal, name))
        said = first.communicate(timeout=300)[1]
    assert first.returncode == 130
    assert "The same command goes on from here" in said
    second = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert second.returncode == 0, second.stderr
    assert "Going on from step" in second.stderr + second.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["x.glb"]
