# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a Python that can be used."""

import ast
import os
import sys
from pathlib import Path

import pytest

from building import interpreters, layout

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and inherited locks are POSIX")


class TestInterpreters:
    def fake(self, tmp_path, name, version, complete):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\necho '[\"{file}\", {list(version)}, {str(complete).lower()}, true]'\n")
        file.chmod(0o755)
        return [str(file)]

    @POSIX
    def test_prefers_one_that_can_make_environments(self, tmp_path, monkeypatch):
        commands = [
            [str(tmp_path / "nothing")],
            self.fake(tmp_path, "older", (3, 10, 1), True),
            self.fake(tmp_path, "split", (3, 11, 2), False),
            self.fake(tmp_path, "whole", (3, 11, 1), True),
        ]
        monkeypatch.setattr(interpreters, "candidates", lambda wanted: commands)
        assert interpreters.find((3, 11)).path.endswith("whole")
        monkeypatch.setattr(interpreters, "candidates", lambda wanted: commands[:3])
        split = interpreters.find((3, 11))
        assert "sudo apt-get install python3.11-venv" in interpreters.missing((3, 11), split)
        monkeypatch.setattr(interpreters, "candidates", lambda wanted: commands[:2])
        assert interpreters.find((3, 11)) is None

    @POSIX
    def test_one_that_does_not_start_is_passed_over(self, tmp_path):
        shim = tmp_path / "python3.11"
        shim.write_text("#!/bin/sh\necho 'pyenv: python3.11: command not found' >&2\nexit 127\n")
        shim.chmod(0o755)
        assert interpreters.probe([str(shim)]) is None

    def test_of_a_virtual_environment_the_python_it_was_made_from_is_taken(self):
        found = interpreters.probe([sys.executable])
        assert found.version == tuple(sys.version_info[:3])
        assert not Path(found.path).parent.parent.joinpath("pyvenv.cfg").exists()

    def test_says_what_to_do_where_there_is_none(self):
        assert "Python 3.11 is needed and was not found" in interpreters.missing((3, 11), None)

    @pytest.mark.parametrize("name", ["build.py", "building/__init__.py", "building/interpreters.py"])
    def test_old_pythons_can_read_what_hands_over(self, name):
        ast.parse((layout.ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 7))
