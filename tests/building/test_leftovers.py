# SPDX-License-Identifier: GPL-3.0-or-later
"""Backends that outlive their Blender."""

import os
import subprocess
import sys

import pytest

from building import children, leftovers

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and inherited locks are POSIX")


class TestLeftovers:
    @POSIX
    def test_a_backend_left_behind_is_ended(self, tmp_path):
        announcement = tmp_path / "data" / "service.json"
        announcement.parent.mkdir()
        code = (
            "import pathlib, signal, sys, time\n"
            "f = pathlib.Path(sys.argv[1])\n"
            "def end(*_): f.unlink(); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(60)\n"
        )
        command = [sys.executable, "-c", code, str(announcement)]
        with children.child(command, stdout=subprocess.PIPE, text=True) as backend:
            assert backend.stdout.readline() == "up\n"
            announcement.write_text(f'{{"pid": {backend.pid}}}')
            assert leftovers.stop_backends(tmp_path) == 1
            assert backend.wait(10) == 0
        assert leftovers.stop_backends(tmp_path) == 0
