# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes end with their parent."""

import os
import signal
import subprocess
import sys

import pytest

from building import children

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and inherited locks are POSIX")


@pytest.fixture
def hears_ctrl_c():
    """A runner may have been started deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
    def test_being_told_to_end_is_like_ctrl_c(self):
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
        try:
            children.stop_on_signals()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        finally:
            signal.signal(signal.SIGTERM, before[0])
            signal.signal(signal.SIGHUP, before[1])

    @POSIX
    def test_what_nohup_ignores_stays_ignored(self):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
        try:
            children.stop_on_signals()
            signal.raise_signal(signal.SIGHUP)
        finally:
            signal.signal(signal.SIGHUP, before[0])
            signal.signal(signal.SIGTERM, before[1])

    @POSIX
    def test_a_child_that_ignores_ctrl_c_as_we_do_is_told_to_end_at_once(self):
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with pytest.raises(children.Terminated), children.child(["sleep", "600"]) as process:
                raise children.Terminated
        finally:
            signal.signal(signal.SIGINT, before)
        # By the first thing it was asked; Ctrl-C would have been waited for in vain.
        assert process.returncode == -signal.SIGTERM
