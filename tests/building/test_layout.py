# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the cache is."""

import sys

import pytest

from building import layout
from building.errors import BuildError


class TestLayout:
    def test_the_cache_is_where_the_user_says(self, cache):
        assert layout.cache_folder() == cache
        assert cache.is_dir()

    @pytest.mark.skipif(sys.platform != "linux", reason="XDG's variables")
    def test_else_where_the_system_keeps_caches(self, tmp_path, monkeypatch):
        monkeypatch.delenv(layout.CACHE_VARIABLE, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert layout.cache_folder() == tmp_path / "xdg" / "mvdream-blender"
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        assert layout.cache_folder() == tmp_path / ".cache" / "mvdream-blender"

    def test_a_cache_that_cannot_be_made_is_named(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv(layout.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
        with pytest.raises(BuildError, match="Set MVDREAM_CACHE to a folder that can"):
            layout.cache_folder()
