# SPDX-License-Identifier: GPL-3.0-or-later
"""Which system packages are missing."""

import sys

import pytest

from building import system_packages
from building.errors import BuildError


class TestSystemPackages:
    linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux splits these off")

    @linux
    def test_names_the_packages_of_missing_libraries(self, monkeypatch):
        monkeypatch.setattr(system_packages, "_has_driver", lambda: True)
        gone = {"libSM.so.6", "libxkbcommon.so.0"}
        assert system_packages.missing(lambda name: name not in gone) == ["libxkbcommon0", "libsm6"]
        assert system_packages.missing(lambda name: True) == []

    @linux
    def test_names_the_command(self, monkeypatch):
        monkeypatch.setattr(system_packages, "missing", lambda: ["libsm6", "libice6"])
        monkeypatch.setattr(system_packages.shutil, "which", lambda name: "/usr/bin/apt-get")
        with pytest.raises(BuildError, match=r"apt-get install -y --no-install-recommends libsm6 libice6"):
            system_packages.require()
        monkeypatch.setattr(system_packages.shutil, "which", lambda name: None)
        with pytest.raises(BuildError, match=r"missing here: libSM.so.6, libICE.so.6"):
            system_packages.require()
