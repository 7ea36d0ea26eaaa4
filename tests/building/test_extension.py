# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the zip."""

import pytest

from building import extension, layout
from building.errors import BuildError


class TestExtension:
    def test_holds_what_it_needs_and_no_litter(self):
        names = [name for _, name in extension.files()]
        assert len(names) == len(set(names))
        for needed in (
            "blender_manifest.toml",
            "__init__.py",
            "backend/__main__.py",
            "requirements/backend.txt",
            "requirements/pip.txt",
            "LICENSE",
        ):
            assert needed in names
        assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]

    def test_a_missing_part_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setattr(extension, "ROOT", tmp_path)
        with pytest.raises(BuildError, match=r"mvdream_blender is missing: is the checkout complete"):
            list(extension.files())

    def test_the_backend_has_the_version_of_the_manifest(self):
        import backend

        assert backend.__version__ == layout.version()
