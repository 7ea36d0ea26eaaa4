# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user types, and what comes of a mistake."""

import sys

import pytest

from building import children, command_line, installation, system_packages


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["demo", "  "], 'The prompt is empty: say what to make, for example "a red mug".'),
            (
                ["demo", "a red mug", "--seed", "-1"],
                "The seed must be between 0 and 2147483647; -1 was given.",
            ),
            (
                ["demo", "a red mug", "--blender", "3.6"],
                "There is no environment for Blender '3.6'. Versions: 4.2, 5.0, 5.2.",
            ),
            (
                ["env", "front"],
                "There is no environment 'front'. "
                "Environments: backend, blender-4.2, blender-5.0, blender-5.2.",
            ),
        ],
    )
    def test_a_mistake_is_one_sentence(self, arguments, sentence, capsys, monkeypatch):
        monkeypatch.setattr(children, "stop_on_signals", lambda: None)
        assert command_line.main(arguments) == command_line.EXIT_USER
        assert capsys.readouterr().err == sentence + "\n"

    @pytest.mark.parametrize("command", ["env", "demo", "test", "zip", "python"])
    def test_every_command_explains_itself(self, command, capsys):
        with pytest.raises(SystemExit) as end:
            command_line.parse([command, "--help"])
        assert end.value.code == 0
        assert len(capsys.readouterr().out) > 150

    def test_who_asks_for_a_command_of_the_backend_is_shown_the_way(self, capsys):
        with pytest.raises(SystemExit) as end:
            command_line.parse(["generate", "a red mug"])
        assert end.value.code == command_line.EXIT_USER
        assert capsys.readouterr().err == (
            "build.py: 'generate' is a command of the backend: "
            "`python3 build.py python -m backend generate 'a red mug'`. "
            "`build.py --help` tells more.\n"
        )

    def test_a_prompt_without_quotes_is_told(self, capsys):
        with pytest.raises(SystemExit) as end:
            command_line.parse(["demo", "a", "red", "mug"])
        assert end.value.code == 2
        assert (
            'build.py demo: unrecognized arguments: red mug. Put the prompt in quotes: "a red mug".'
            in capsys.readouterr().err
        )

    def test_pytest_gets_what_stands_behind_the_dashes(self):
        assert command_line.parse(["test", "--", "-k", "a or b", "--", "x"]).handed_on == [
            "-k",
            "a or b",
            "--",
            "x",
        ]
        assert command_line.parse(["test"]).handed_on == []

    def test_python_gets_everything(self):
        assert command_line.parse(["python", "-m", "backend", "--help"]).handed_on == [
            "-m",
            "backend",
            "--help",
        ]
        chosen = command_line.parse(["python", "--blender", "4.2", "-c", "0"])
        assert (chosen.blender, chosen.handed_on) == ("4.2", ["-c", "0"])

    @pytest.mark.parametrize(
        ("missing", "out", "errors"),
        [(["libsm6", "libice6"], "libsm6\nlibice6\n", ""), ([], "", "No system packages are missing.\n")],
    )
    def test_system_packages_are_listed_or_there_are_none(self, missing, out, errors, capsys, monkeypatch):
        monkeypatch.setattr(children, "stop_on_signals", lambda: None)
        monkeypatch.setattr(system_packages, "missing_for_python", lambda version: [])
        monkeypatch.setattr(system_packages, "missing", lambda: missing)
        assert command_line.main(["env", "--system-packages"]) == 0
        assert tuple(capsys.readouterr()) == (out, errors)

    def test_a_python_that_is_stopped_says_so_itself(self, capsys, monkeypatch):
        def stop(*_command, **_options):
            raise KeyboardInterrupt

        monkeypatch.setattr(children, "stop_on_signals", lambda: None)
        monkeypatch.setattr(installation, "ensure", lambda _environment: sys.executable)
        monkeypatch.setattr(children, "code_of", stop)
        assert command_line.main(["python", "-m", "backend"]) == command_line.EXIT_STOPPED
        assert capsys.readouterr().err == ""

    def test_being_stopped_is_said(self, capsys, monkeypatch):
        def stop(_environment, _again=False):
            raise KeyboardInterrupt

        monkeypatch.setattr(children, "stop_on_signals", lambda: None)
        monkeypatch.setattr(installation, "ensure", stop)
        assert command_line.main(["env", "backend"]) == command_line.EXIT_STOPPED
        assert capsys.readouterr().err == "\nStopped.\n"
