# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as a user runs it: on this machine, with a broken PyTorch, and with no packages at all."""

import json
import os
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from backend import doctor as examination
from backend.cli import main
from backend.doctor import Facts, Problem, Report
from backend.doctor.facts import Encoding, Package
from backend.doctor.text import render

ROOT = Path(__file__).resolve().parents[3]


def run(python: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [python, "-m", "backend", "doctor", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_on_this_machine_everything_needed_is_there() -> None:
    done = run(sys.executable, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, found["problems"]
    assert found["usable"] is True
    assert {package["error"] for package in found["packages"]} == {""}
    assert found["torch"]["version"].startswith("2.")
    assert "small" in [model["name"] for model in found["models"]]
    assert {place["title"] for place in found["places"]} == {"Models", "Cache", "Temporary files"}
    assert 0 < found["computer"]["ram_free"] <= found["computer"]["ram_total"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise OSError('libcudart.so.13: cannot open shared object file')", "libcudart.so.13: cannot open"),
        pytest.param(
            "import os\nos.abort()",
            "it crashed with SIGABRT",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="signals"),
        ),
        ("", "No module named 'torch.nn'"),  # a folder called torch, left over from something
    ],
)
def test_a_broken_pytorch_is_one_sentence(tmp_path: Path, code: str, words: str) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(code)
    done = run(sys.executable, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "not usable yet" in done.stdout.splitlines()[0]
    assert "PyTorch is installed but does not start:" in done.stdout
    assert words in done.stdout
    assert "Press Install Backend again" in done.stdout
    assert done.stdout.count("Error:") >= 1


def test_without_any_package_they_are_named(tmp_path: Path) -> None:
    venv.create(tmp_path, symlinks=os.name != "nt", with_pip=False)
    done = run(str(tmp_path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")))
    assert done.returncode == 2
    assert "The Python packages are missing: torch, diffusers, transformers" in done.stdout
    assert "Memory" in done.stdout


def test_a_report_for_a_person(healthy: Facts) -> None:
    text = render(Report(healthy, ()))
    assert text.splitlines()[0] == (
        "MVDream for Blender, backend 1.2.3: ready. Jobs run on RTX 4090 (cuda:0) in bf16."
    )
    for words in (
        "RTX 4090, 8.9, 20.0 GB of 24.0 GB free, bf16",
        "580.1",
        "built for CUDA 13.0",
        "mvdream-sd15",
    ):
        assert words in text


def test_problems_come_before_the_details(healthy: Facts) -> None:
    facts = replace(
        healthy,
        torch=None,
        packages=(Package("torch", "2.12.0", "2.13.0", "OSError"), Package("diffusers", None, "1")),
        encodings=(Encoding("tinycudann", False, "installed, but broken"),),
    )
    text = render(Report(facts, (Problem("error", "It is broken.", "Mend it."),)))
    assert text.index("not usable yet") < text.index("Error: It is broken.\n  What to do: Mend it.")
    assert text.index("Mend it.") < text.index("Processor")
    assert "2.12.0 (tested with 2.13.0), does not start" in text
    assert "tinycudann: installed, but broken" in text


@pytest.mark.parametrize(("severity", "code"), [("error", 2), ("warning", 0)])
def test_the_exit_code_tells_whether_it_is_usable(
    healthy: Facts, severity: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    report = Report(healthy, (Problem(severity, "a", "b"),))
    monkeypatch.setattr(examination, "examine", lambda: report)
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["usable"] is (code == 0)
