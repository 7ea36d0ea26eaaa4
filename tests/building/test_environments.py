# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an environment is, and when it counts as complete."""

import sys

from building import environments, layout
from building.environments import BACKEND
from building.interpreters import Interpreter


class TestEnvironments:
    def test_other_lock_files_or_another_python_are_another_folder(self, tiny, tmp_path, here):
        lock_file = tmp_path / "requirements" / "tiny.txt"
        first = tiny.folder(here)
        lock_file.write_bytes(b"tiny==1\r\n")
        assert tiny.folder(here) == first  # a checkout with Windows' line ends
        assert tiny.folder(Interpreter(sys.executable, (3, 11, 99), True, True)) != first
        lock_file.write_text("tiny==2\n")
        assert tiny.folder(here) != first

    def test_a_moved_one_counts_as_incomplete(self, tmp_path):
        folder = tmp_path / "here"
        environments.python_in(folder).parent.mkdir(parents=True)
        environments.python_in(folder).touch()
        assert not environments.is_complete(folder)
        environments.mark_complete(folder)
        assert environments.is_complete(folder)
        moved = folder.rename(tmp_path / "there")
        assert not environments.is_complete(moved)

    def test_one_whose_python_is_gone_counts_as_incomplete(self, tmp_path):
        tmp_path.joinpath("e").mkdir()
        environments.mark_complete(tmp_path / "e")
        assert not environments.is_complete(tmp_path / "e")

    def test_every_pin_is_exact(self):
        for file in layout.REQUIREMENTS.glob("*.txt"):
            for line in file.read_text().splitlines():
                if line and not line.startswith("#"):
                    assert "==" in line, f"{file.name}: {line}"

    def test_the_backends_lists_do_not_contradict_each_other(self):
        pins = [
            line for file in BACKEND.lock_files() for line in file.read_text().splitlines() if "==" in line
        ]
        names = [pin.split("==")[0].lower().replace("_", "-") for pin in pins if not pin.startswith("#")]
        assert len(names) == len(set(names))
