# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's promises: light start, one sentence for a mistake, and the exit codes."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend import __version__, cli
from backend.errors import Cancelled, UserError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "pydantic", "fastapi", "uvicorn", "diffusers", "transformers", "numpy", "scipy", "PIL")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[argparse.Namespace], int]], None]:
    """Puts one stand-in command, `work`, in the place of the real ones."""

    def install(run: Callable[[argparse.Namespace], int]) -> None:
        def add_parser(subparsers: argparse._SubParsersAction) -> None:
            subparsers.add_parser("work").add_argument("--number", type=int, default=1)

        monkeypatch.setattr(cli, "COMMANDS", ("work",))
        module = SimpleNamespace(add_parser=add_parser, run=run)
        monkeypatch.setitem(sys.modules, "backend.commands.work", module)

    return install


def _raise(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        raise error

    return run


def test_the_commands_code_is_the_exit_code(command: Callable) -> None:
    command(lambda arguments: arguments.number)
    assert cli.main(["work"]) == 1
    assert cli.main(["work", "--number", "0"]) == 0


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("There is no model 'x'.\nModels: small."), 2, "There is no model 'x'. Models: small.\n"),
        (Cancelled(), 130, "Stopped.\n"),
        (KeyboardInterrupt(), 130, "Stopped.\n"),
    ],
)
def test_expected_ends_are_one_line(
    command: Callable, capsys: pytest.CaptureFixture, error: BaseException, code: int, said: str
) -> None:
    command(_raise(error))
    assert cli.main(["work"]) == code
    assert capsys.readouterr().err == said


def test_a_missing_package_is_named(command: Callable, capsys: pytest.CaptureFixture) -> None:
    command(_raise(ModuleNotFoundError("No module named 'xatlas'", name="xatlas")))
    assert cli.main(["work"]) == 2
    assert "'xatlas' is missing" in capsys.readouterr().err


def test_a_fault_is_logged_with_its_traceback(command: Callable, caplog: pytest.LogCaptureFixture) -> None:
    command(_raise(ZeroDivisionError("oops")))
    assert cli.main(["work"]) == 1
    assert caplog.records[-1].exc_info


def test_unknown_command_and_none_at_all_are_usage_errors(capsys: pytest.CaptureFixture) -> None:
    for argv in (["fly"], []):
        with pytest.raises(SystemExit) as caught:
            cli.main(argv)
        assert caught.value.code == 2
    assert "serve" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["generate", "a", "red", "mug", "-o", "x.glb"],
            'backend generate: unrecognized arguments: red mug. Put the prompt in quotes: "a red mug".',
        ),
        (["generate", "a red mug", "-o", "x.glb", "--hue", "3"], "unrecognized arguments: --hue 3."),
        (
            ["generate", "a red mug", "-o", "x.glb", "--step", "3"],
            "generate: unrecognized arguments: --step 3. Did you mean --steps? `python",
        ),
        (["doctor", ".."], "unrecognized arguments: .. `python -m backend doctor --help` tells more."),
        (
            ["generate", "a red mug", "-o", "x.glb", "--steps", "many"],
            "--steps must be a whole number; 'many' was given.",
        ),
        (
            ["generate", "a red mug", "--outt", "x.glb"],
            "required: -o/--out; unrecognized arguments: --outt. Did you mean --out?",
        ),
        (
            ["generate", "a red mug - large"],
            "required: -o/--out. `python -m backend generate --help` tells more.",
        ),
        (
            ["generate", "a", "red mug -o x.glb"],
            "required: -o/--out. Is a quotation mark missing in 'red mug -o x.glb'?",
        ),
    ],
)
def test_a_wrong_argument_is_answered_in_a_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    answer = capsys.readouterr().err
    assert said in answer
    assert answer.endswith("--help` tells more.\n")
    assert answer.count("\n") == 1


def test_a_long_line_is_broken_for_a_terminal_alone(
    command: Callable, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(_raise(UserError("It knows: " + " ".join(["well-known"] * 20))))
    monkeypatch.setenv("COLUMNS", "50")
    cli.main(["work"])
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    cli.main(["work"])
    lines = capsys.readouterr().err.splitlines()
    assert 4 < len(lines) < 9
    assert all(len(line) <= 50 and not line.endswith("-") for line in lines)


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom backend.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout
    assert all(name in done.stdout for name in cli.COMMANDS)


def test_ctrl_c_while_modules_are_imported_is_one_line(tmp_path: Path) -> None:
    """A module that cli imports is stood in for by one that is interrupted."""
    (tmp_path / "argparse.py").write_text("raise KeyboardInterrupt\n")
    command = [sys.executable, "-m", "backend", "generate", "a red mug"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")


def test_version_through_the_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backend", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == __version__
