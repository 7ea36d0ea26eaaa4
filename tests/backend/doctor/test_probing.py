# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes that fail, hang and crash; packages, encodings and folders found with them."""

import sys
from pathlib import Path

import pytest

from backend.doctor import encodings, packages, places, probing
from backend.doctor.facts import Encoding


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """module(name, code) is one that children can import, and nobody else."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        return name

    return write


def test_answers_are_lines_of_json_and_noise_is_not(module) -> None:
    name = module(
        "talker", "def main(args):\n print('noise'); print('[1]'); print('{\"a\":', args[0], '}')\n"
    )
    assert probing.ask(name, "2") == probing.Answer(([1], {"a": 2}))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise OSError('libtorch.so: no such file')", "OSError: libtorch.so: no such file"),
        ("import os; os._exit(3)", "it ended with exit code 0x3"),
        pytest.param(
            "import os; os.abort()",
            "it crashed with SIGABRT",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="signals"),
        ),
    ],
)
def test_why_a_child_ended(module, code: str, reason: str) -> None:
    assert probing.ask(module("faulty", code)).error == reason


def test_a_child_that_hangs_is_ended(module) -> None:
    answer = probing.ask(module("sleepy", "import time; time.sleep(600)"), patience=0.5)
    assert answer.error == "no answer within 0 seconds"


def test_a_tool_that_is_missing_or_fails_says_nothing() -> None:
    assert probing.run_tool("no-such-tool") is None
    assert probing.run_tool(sys.executable, "-c", "exit(1)") is None
    assert probing.run_tool(sys.executable, "-c", "print(5)").strip() == "5"


def test_the_list_of_needed_packages_is_that_of_the_requirements() -> None:
    direct = packages.LIST.read_text(encoding="utf-8").split("\n\n")[0]
    pinned = {packages.normal(line.split("==")[0]) for line in direct.splitlines() if line[0] != "#"}
    assert pinned <= {packages.normal(name) for name in packages.NEEDED}
    assert {packages.normal(name) for name in packages.NEEDED} <= set(packages.read_pins(packages.LIST))


def test_pins(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# a==0\nPy_YAML==6.0 ; sys_platform\nb.c==1.2+cpu\n")
    assert packages.read_pins(tmp_path / "list.txt") == {"py-yaml": "6.0", "b-c": "1.2+cpu"}
    assert packages.read_pins(tmp_path / "none.txt") == {}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_package_that_crashes_is_named_and_the_rest_are_still_tried(module) -> None:
    module("yaml", "import os; os.abort()")
    module("uvicorn", "raise ImportError('first line\\nlast line')")
    errors = packages._import_errors(["numpy", "PyYAML", "pydantic", "uvicorn"])
    assert errors == {"PyYAML": "it crashed with SIGABRT", "uvicorn": "ImportError: last line"}


def test_on_a_cpu_dense_grids_are_used_and_on_a_gpu_the_best_that_works() -> None:
    found = (Encoding("fast", False, "broken"), Encoding("slow", True), Encoding(encodings.DENSE, True))
    assert encodings.choose(found, on_gpu=False) == encodings.DENSE
    assert encodings.choose(found, on_gpu=True) == "slow"


def test_an_accelerator_that_is_installed_and_broken(
    module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(encodings, "_is_there", lambda package: package == "shaky")
    monkeypatch.setattr(encodings, "_RADIANCE", tmp_path)
    monkeypatch.setattr(encodings, "ACCELERATED", {"shaky": "shaky_grid.py", "absent": "absent_grid.py"})
    module("shaky", "raise ImportError('undefined symbol')")
    assert [e.reason for e in encodings.find_encodings(True)][:2] == [
        "installed, but this version of the backend does not use it",
        "not installed (not needed)",
    ]
    (tmp_path / "shaky_grid.py").touch()
    broken = encodings.find_encodings(True)[0]
    assert broken == Encoding(
        "shaky", False, "installed, but it does not start: ImportError: undefined symbol"
    )
    module("shaky", "")
    assert encodings.find_encodings(True)[0].usable
    assert encodings.find_encodings(False)[0].reason == "needs a GPU that PyTorch can use"


def test_a_folder_that_is_not_there_yet_is_judged_by_where_it_will_be(tmp_path: Path) -> None:
    found = places.examine_place("Models", tmp_path / "a" / "b")
    assert found.free > 0
    assert not found.error
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    assert places.examine_place("Models", tmp_path / "file" / "b").error == "Not a directory"


def test_the_registry_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path))
    installed, missing, folder = places.find_models()
    assert [model.name for model in installed] == ["small"]
    assert installed[0].image_size == 64
    assert "mvdream-sd21" in [model.name for model in missing]
    assert folder == tmp_path


def test_a_damaged_model_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "mvdream.json").write_text("{")
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path))
    installed, missing, _ = places.find_models()
    assert [model.name for model in installed] == ["small"]
    (torn,) = (model for model in missing if model.damage)
    assert torn.name == "torn"
    assert "mvdream.json is broken: it is no JSON" in torn.damage
