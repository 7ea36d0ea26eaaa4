# SPDX-License-Identifier: GPL-3.0-or-later
"""Making an environment: once, to the end, and what goes wrong. The installer is a stand-in."""

import os
import threading
import time
from pathlib import Path

import pytest

from building import environments, installation
from building.environments import Environment
from building.errors import BuildError


class TestInstallation:
    def test_a_complete_one_is_used_again(self, tiny, monkeypatch, fake_installer):
        installer = fake_installer()
        monkeypatch.setattr(installation, "_run", installer)
        python = installation.ensure(tiny)
        made = len(installer.commands)
        assert python.exists()
        assert made == 4  # the folder, the installer, the packages, the check
        assert installation.ensure(tiny) == python
        assert len(installer.commands) == made
        assert environments.ready(tiny) == python

    def test_again_makes_it_anew(self, tiny, monkeypatch, fake_installer):
        installer = fake_installer()
        monkeypatch.setattr(installation, "_run", installer)
        stale = installation.ensure(tiny).parents[1] / "stale"
        stale.touch()
        installation.ensure(tiny, again=True)
        assert not stale.exists()
        assert len(installer.commands) == 8

    @pytest.mark.parametrize("step", [1, 2, 3, 4])
    def test_an_interrupted_one_is_redone(self, tiny, monkeypatch, step, fake_installer):
        monkeypatch.setattr(installation, "_run", fake_installer(step, KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            installation.ensure(tiny)
        assert environments.ready(tiny) is None
        installer = fake_installer()
        monkeypatch.setattr(installation, "_run", installer)
        assert installation.ensure(tiny) == environments.ready(tiny)
        assert len(installer.commands) == 4

    def test_a_failure_shows_the_end_of_the_log(self, tiny, monkeypatch, fake_installer):
        monkeypatch.setattr(installation, "_run", fake_installer(3))
        with pytest.raises(BuildError, match=r"tiny could not be made(.|\n)*No matching distribution found"):
            installation.ensure(tiny)
        assert environments.ready(tiny) is None

    def test_two_builds_at_once_make_it_once(self, tiny, monkeypatch, fake_installer):
        installer = fake_installer()

        def slow(command, log, lock, output):
            time.sleep(0.1)
            return installer(command, log, lock, output)

        monkeypatch.setattr(installation, "_run", slow)
        pythons: list[Path] = []
        builds = [
            threading.Thread(target=lambda: pythons.append(installation.ensure(tiny))) for _ in range(2)
        ]
        for build in builds:
            build.start()
        for build in builds:
            build.join()
        assert len(pythons) == 2
        assert len(installer.commands) == 4

    def test_what_nobody_used_for_a_month_is_removed(self, tiny, monkeypatch, fake_installer, here):
        monkeypatch.setattr(installation, "_run", fake_installer())
        current = tiny.folder(here)
        old, recent = (current.with_name(f"tiny-{name}") for name in ("old", "recent"))
        for folder, days in ((old, 40), (recent, 5)):
            folder.mkdir(parents=True)
            environments.mark_complete(folder)
            used = time.time() - days * 86_400
            os.utime(folder / environments.MARKER, (used, used))
        installation.ensure(tiny)
        assert not old.exists()
        assert recent.exists()

    def test_too_little_disk_is_said_before_anything_is_made(self, tiny, monkeypatch, fake_installer):
        monkeypatch.setattr(installation, "_run", fake_installer())
        greedy = Environment("tiny", ("tiny.txt",), (3, 11), "", 10.0**9)
        with pytest.raises(BuildError, match=r"needs 1e\+09 GB of disk space"):
            installation.ensure(greedy)
