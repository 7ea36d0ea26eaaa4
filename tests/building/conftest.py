# SPDX-License-Identifier: GPL-3.0-or-later
"""A cache folder and an environment that cost nothing to make. Nothing is downloaded."""

import sys
from pathlib import Path

import pytest

from building import environments, interpreters, layout
from building.environments import Environment
from building.interpreters import Interpreter


class FakeInstaller:
    """Stands in for the commands that make an environment: the first makes the folder, all are counted."""

    def __init__(self, fails_at: int | None = None, error: type[BaseException] | None = None) -> None:
        self.commands: list[list[str]] = []
        self.fails_at, self.error = fails_at, error

    def __call__(self, command, log, lock, output) -> int:
        self.commands.append(command)
        if "venv" in command:
            python = environments.python_in(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.touch()
        if len(self.commands) == self.fails_at:
            if self.error:
                raise self.error
            log.write_text("No matching distribution found for tiny==1\n")
            return 1
        return 0


@pytest.fixture
def fake_installer():
    """The class `FakeInstaller`."""
    return FakeInstaller


@pytest.fixture
def here():
    """The Python that runs this, as one that was found."""
    return Interpreter(sys.executable, tuple(sys.version_info[:3]), True, True)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv(layout.CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def tiny(cache, tmp_path, monkeypatch, here):
    """An environment of one package, in a cache of its own."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "pip.txt").write_text("pip==1\n")
    (tmp_path / "requirements" / "tiny.txt").write_text("tiny==1\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(interpreters, "find", lambda wanted: here)
    return Environment("tiny", ("tiny.txt",), (3, 11), "import tiny", 0.0)
