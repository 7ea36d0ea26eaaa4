# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes end with their parent."""

import os
import signal
import subprocess
import sys

import pytest

from backend.commands.interruption import give_back, told_to_end
from building import children

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and inherited locks are POSIX")


@pytest.fixture
def handlers_are_put_back():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *told_to_end())}
    yield
    give_back(before)


@pytest.fixture
def hears_ctrl_c(handlers_are_put_back):
    """A runner may have been started deaf to it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class TestChildren:
    def test_ends_with_the_block(self):
        with (
            pytest.raises(ValueError, match="stop"),
            children.child([sys.executable, "-c", "import time; time.sleep(60)"]) as process,
        ):
            raise ValueError("stop")
        assert process.poll() is not None

    def test_tells_of_silence(self):
        code = "import time; print('one', flush=True); time.sleep(1.5); print('two')"
        silences: list[int] = []
        command = [sys.executable, "-c", code]
        with children.child(command, stdout=subprocess.PIPE, text=True) as process:
            lines = list(children.lines(process, lambda: silences.append(1)))
        assert lines == ["one\n", "two\n"]
        assert silences

    def test_a_foreign_python_is_not_steered(self, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", "/nonsense")
        assert "PYTHONPATH" not in children.environment()
        assert children.environment({"PYTHONPATH": "/ours"})["PYTHONPATH"] == "/ours"

    @POSIX
    @pytest.mark.usefixtures("hears_ctrl_c")
    @pytest.mark.parametrize("code", [0, 7])
    def test_work_that_ctrl_c_does_not_stop_keeps_its_code(self, code):
        """The child is deaf to Ctrl-C and tells its parent of one, as the terminal would."""
        script = (
            "import os, signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN);"
            f"os.kill(os.getppid(), signal.SIGINT); time.sleep(0.5); sys.exit({code})"
        )
        assert children.code_of([sys.executable, "-c", script]) == code

    @POSIX
    @pytest.mark.usefixtures("hears_ctrl_c")
    def test_work_that_is_killed_after_ctrl_c_was_stopped(self):
        script = (
            "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(0.5);"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        with pytest.raises(KeyboardInterrupt):
            children.code_of([sys.executable, "-c", script])

    @POSIX
    @pytest.mark.usefixtures("handlers_are_put_back")
    def test_being_told_to_end_is_like_ctrl_c(self):
        children.stop_on_signals()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)

    @POSIX
    @pytest.mark.usefixtures("handlers_are_put_back")
    def test_what_nohup_ignores_stays_ignored(self):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        children.stop_on_signals()
        signal.raise_signal(signal.SIGHUP)

    @POSIX
    @pytest.mark.usefixtures("handlers_are_put_back")
    def test_a_child_that_ignores_ctrl_c_as_we_do_is_told_to_end_at_once(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with pytest.raises(children.Terminated), children.child(["sleep", "600"]) as process:
            raise children.Terminated
        # By the first thing it was asked; Ctrl-C would have been waited for in vain.
        assert process.returncode == -signal.SIGTERM
