# SPDX-License-Identifier: GPL-3.0-or-later
"""One build at a time."""

import os
import subprocess
import sys

import pytest

from building import children, layout, locks

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and inherited locks are POSIX")


class TestLock:
    HOLD = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from building.locks import hold\n"
        "with hold(Path(sys.argv[2])):\n print('held', flush=True); time.sleep(60)\n"
    )

    def test_a_second_one_is_told(self, tmp_path):
        with locks.hold(tmp_path / "lock"), pytest.raises(locks.Busy), locks.hold(tmp_path / "lock"):
            pass
        with locks.hold(tmp_path / "lock"):
            pass

    def test_a_killed_holder_lets_go(self, tmp_path):
        command = [sys.executable, "-c", self.HOLD, str(layout.ROOT), str(tmp_path / "lock")]
        with children.child(command, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(locks.Busy), locks.hold(tmp_path / "lock"):
                pass
            holder.kill()
            holder.wait()
            with locks.hold(tmp_path / "lock"):
                pass

    @POSIX
    def test_is_held_until_an_heir_is_gone(self, tmp_path):
        with locks.hold(tmp_path / "lock") as descriptor:
            heir = subprocess.Popen(
                [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor]
            )
        with pytest.raises(locks.Busy), locks.hold(tmp_path / "lock"):
            pass
        heir.communicate(b"\n")
        with locks.hold(tmp_path / "lock"):
            pass
