# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests run where."""

import pytest

from building import interpreters, suites
from building.environments import BLENDERS
from building.errors import BuildError


class TestSuites:
    backend, blender = suites.SUITES[0], suites.SUITES[1]

    def test_everything_without_arguments(self):
        assert self.backend.chosen([]) == ["tests"]
        assert self.blender.chosen(["-k", "camera"]) == ["tests/mvdream_blender", "tests/toyworld"]

    def test_paths_go_where_they_belong(self):
        arguments = [
            "tests/building/test_suites.py::TestSuites",
            "-x",
            "tests/mvdream_blender/test_cameras.py",
        ]
        assert self.backend.chosen(arguments) == arguments[:1]
        assert self.blender.chosen(arguments) == arguments[2:]
        assert self.blender.chosen(["tests/building/test_suites.py"]) is None

    def test_a_newer_blender_is_skipped_where_its_python_is_missing(self, monkeypatch, here):
        monkeypatch.setattr(interpreters, "find", lambda wanted: here if wanted == (3, 11) else None)
        chosen, reasons = suites.available()
        assert BLENDERS["5.0"] in chosen
        assert BLENDERS["5.2"] not in chosen
        assert len(reasons) == 1
        assert reasons[0].startswith("blender-5.2 is skipped: Python 3.13 is needed")

    def test_without_the_common_python_nothing_runs(self, monkeypatch):
        monkeypatch.setattr(interpreters, "find", lambda wanted: None)
        with pytest.raises(BuildError, match=r"Python 3\.11 is needed"):
            suites.available()


def test_the_value_of_an_option_is_no_path_though_a_folder_has_its_name() -> None:
    assert not suites.is_test_path("backend")
    assert suites.is_test_path("tests/backend")
