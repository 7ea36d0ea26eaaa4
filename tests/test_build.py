# SPDX-License-Identifier: GPL-3.0-or-later
"""build.py without its long work: nothing here is downloaded or installed."""

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from building import (
    checks,
    children,
    command_line,
    console,
    demo,
    environments,
    extension,
    installation,
    interpreters,
    layout,
    leftovers,
    locks,
    slugs,
    suites,
    system_packages,
)
from building.environments import BACKEND, BLENDERS, Environment
from building.errors import BuildError
from building.installer_output import InstallerOutput, count_pins
from building.interpreters import Interpreter

HERE = Interpreter(sys.executable, tuple(sys.version_info[:3]), True, True)
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and inherited locks are POSIX")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv(layout.CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def tiny(cache, tmp_path, monkeypatch):
    """An environment of one package, in a cache of its own."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "pip.txt").write_text("pip==1\n")
    (tmp_path / "requirements" / "tiny.txt").write_text("tiny==1\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path / "requirements")
    monkeypatch.setattr(interpreters, "find", lambda wanted: HERE)
    return Environment("tiny", ("tiny.txt",), (3, 11), "import tiny", 0.0)


class FakeInstaller:
    """Stands in for the commands that make an environment: the first makes the folder, all are counted."""

    def __init__(self, fails_at: int | None = None, error: type[BaseException] | None = None) -> None:
        self.commands: list[list[str]] = []
        self.fails_at, self.error = fails_at, error

    def __call__(self, command, log, lock, output) -> int:
        self.commands.append(command)
        if "venv" in command:
            python = environments.python_in(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.touch()
        if len(self.commands) == self.fails_at:
            if self.error:
                raise self.error
            log.write_text("No matching distribution found for tiny==1\n")
            return 1
        return 0


class TestEnvironments:
    def test_a_complete_one_is_used_again(self, tiny, monkeypatch):
        installer = FakeInstaller()
        monkeypatch.setattr(installation, "_run", installer)
        python = installation.ensure(tiny)
        made = len(installer.commands)
        assert python.exists()
        assert made == 4  # the folder, the installer, the packages, the check
        assert installation.ensure(tiny) == python
        assert len(installer.commands) == made
        assert environments.ready(tiny) == python

    def test_again_makes_it_anew(self, tiny, monkeypatch):
        installer = FakeInstaller()
        monkeypatch.setattr(installation, "_run", installer)
        stale = installation.ensure(tiny).parents[1] / "stale"
        stale.touch()
        installation.ensure(tiny, again=True)
        assert not stale.exists()
        assert len(installer.commands) == 8

    @pytest.mark.parametrize("step", [1, 2, 3, 4])
    def test_an_interrupted_one_is_redone(self, tiny, monkeypatch, step):
        monkeypatch.setattr(installation, "_run", FakeInstaller(step, KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            installation.ensure(tiny)
        assert environments.ready(tiny) is None
        installer = FakeInstaller()
        monkeypatch.setattr(installation, "_run", installer)
        assert installation.ensure(tiny) == environments.ready(tiny)
        assert len(installer.commands) == 4

    def test_a_failure_shows_the_end_of_the_log(self, tiny, monkeypatch):
        monkeypatch.setattr(installation, "_run", FakeInstaller(3))
        with pytest.raises(BuildError, match=r"tiny could not be made(.|\n)*No matching distribution found"):
            installation.ensure(tiny)
        assert environments.ready(tiny) is None

    def test_two_builds_at_once_make_it_once(self, tiny, monkeypatch):
        installer = FakeInstaller()

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

    def test_other_lock_files_or_another_python_are_another_folder(self, tiny, tmp_path):
        lock_file = tmp_path / "requirements" / "tiny.txt"
        first = tiny.folder(HERE)
        lock_file.write_bytes(b"tiny==1\r\n")
        assert tiny.folder(HERE) == first  # a checkout with Windows' line ends
        assert tiny.folder(Interpreter(sys.executable, (3, 11, 99), True, True)) != first
        lock_file.write_text("tiny==2\n")
        assert tiny.folder(HERE) != first

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

    def test_what_nobody_used_for_a_month_is_removed(self, tiny, monkeypatch):
        monkeypatch.setattr(installation, "_run", FakeInstaller())
        current = tiny.folder(HERE)
        old, recent = (current.with_name(f"tiny-{name}") for name in ("old", "recent"))
        for folder, days in ((old, 40), (recent, 5)):
            folder.mkdir(parents=True)
            environments.mark_complete(folder)
            used = time.time() - days * 86_400
            os.utime(folder / environments.MARKER, (used, used))
        installation.ensure(tiny)
        assert not old.exists()
        assert recent.exists()

    def test_too_little_disk_is_said_before_anything_is_made(self, tiny, monkeypatch):
        monkeypatch.setattr(installation, "_run", FakeInstaller())
        greedy = Environment("tiny", ("tiny.txt",), (3, 11), "", 10.0**9)
        with pytest.raises(BuildError, match=r"needs 1e\+09 GB of disk space"):
            installation.ensure(greedy)

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


class TestInstallerOutput:
    LINES = (
        "Collecting tiny==1 (from -r tiny.txt (line 1))\n",
        "  Downloading tiny-1-py3-none-any.whl.metadata (2 kB)\n",
        "Collecting large==2\n",
        "Downloading large-2-cp311-cp311-manylinux_2_28_x86_64.whl (350.0 MB)\n",
        "Progress 0 of 367001600\n",
        "Progress 183500800 of 367001600\n",
        "Using cached tiny-1-py3-none-any.whl (12 kB)\n",
        "Installing collected packages: tiny, large\n",
    )

    def run(self, tmp_path):
        lock_file = tmp_path / "lock.txt"
        lock_file.write_text("# two\ntiny==1\n\nlarge==2 ; sys_platform == 'linux'\n")
        shown: list[tuple[str, float]] = []
        output = InstallerOutput([lock_file], tmp_path, lambda text, fraction: shown.append((text, fraction)))
        for line in self.LINES:
            output.line(line)
        return output, shown

    def test_says_what_is_fetched_and_never_goes_back(self, tmp_path):
        _, shown = self.run(tmp_path)
        assert "fetching large, 175 of 350 MB" in [text for text, _ in shown]
        assert shown[-1][0] == "unpacking 2 packages"
        fractions = [fraction for _, fraction in shown]
        assert fractions == sorted(fractions)
        assert 0 < fractions[0] < fractions[-1] < 1

    def test_counts_what_is_unpacked_while_pip_is_silent(self, tmp_path):
        output, shown = self.run(tmp_path)
        packages = tmp_path / "lib" / "python3.11" / "site-packages"
        (packages / "tiny-1.dist-info").mkdir(parents=True)
        before = shown[-1][1]
        output.idle()
        assert shown[-1][1] == pytest.approx((before + 1) / 2)

    def test_comments_are_no_packages(self):
        assert count_pins("# a\n\ntorch==1\n  # b\nnumpy==2 ; x\n") == 2


class TestInterpreters:
    def fake(self, tmp_path, name, version, complete):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\necho '[\"{file}\", {list(version)}, {str(complete).lower()}, true]'\n")
        file.chmod(0o755)
        return [str(file)]

    @POSIX
    def test_prefers_one_that_can_make_environments(self, tmp_path, monkeypatch):
        commands = [
            [str(tmp_path / "nothing")],
            self.fake(tmp_path, "older", (3, 10, 1), True),
            self.fake(tmp_path, "split", (3, 11, 2), False),
            self.fake(tmp_path, "whole", (3, 11, 1), True),
        ]
        monkeypatch.setattr(interpreters, "candidates", lambda wanted: commands)
        assert interpreters.find((3, 11)).path.endswith("whole")
        monkeypatch.setattr(interpreters, "candidates", lambda wanted: commands[:3])
        split = interpreters.find((3, 11))
        assert "sudo apt-get install python3.11-venv" in interpreters.missing((3, 11), split)
        monkeypatch.setattr(interpreters, "candidates", lambda wanted: commands[:2])
        assert interpreters.find((3, 11)) is None

    @POSIX
    def test_one_that_does_not_start_is_passed_over(self, tmp_path):
        shim = tmp_path / "python3.11"
        shim.write_text("#!/bin/sh\necho 'pyenv: python3.11: command not found' >&2\nexit 127\n")
        shim.chmod(0o755)
        assert interpreters.probe([str(shim)]) is None

    def test_of_a_virtual_environment_the_python_it_was_made_from_is_taken(self):
        found = interpreters.probe([sys.executable])
        assert found.version == tuple(sys.version_info[:3])
        assert not Path(found.path).parent.parent.joinpath("pyvenv.cfg").exists()

    def test_says_what_to_do_where_there_is_none(self):
        assert "Python 3.11 is needed and was not found" in interpreters.missing((3, 11), None)

    @pytest.mark.parametrize("name", ["build.py", "building/__init__.py", "building/interpreters.py"])
    def test_old_pythons_can_read_what_hands_over(self, name):
        ast.parse((layout.ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 7))


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


class TestSuites:
    backend, blender = suites.SUITES[0], suites.SUITES[1]

    def test_everything_without_arguments(self):
        assert self.backend.chosen([]) == ["tests"]
        assert self.blender.chosen(["-k", "camera"]) == ["tests/mvdream_blender", "tests/toyworld"]

    def test_paths_go_where_they_belong(self):
        arguments = ["tests/test_build.py::TestSuites", "-x", "tests/mvdream_blender/test_cameras.py"]
        assert self.backend.chosen(arguments) == arguments[:1]
        assert self.blender.chosen(arguments) == arguments[2:]
        assert self.blender.chosen(["tests/test_build.py"]) is None

    def test_a_newer_blender_is_skipped_where_its_python_is_missing(self, monkeypatch):
        monkeypatch.setattr(interpreters, "find", lambda wanted: HERE if wanted == (3, 11) else None)
        chosen, reasons = suites.available()
        assert BLENDERS["5.0"] in chosen
        assert BLENDERS["5.2"] not in chosen
        assert len(reasons) == 1
        assert reasons[0].startswith("blender-5.2 is skipped: Python 3.13 is needed")

    def test_without_the_common_python_nothing_runs(self, monkeypatch):
        monkeypatch.setattr(interpreters, "find", lambda wanted: None)
        with pytest.raises(BuildError, match=r"Python 3\.11 is needed"):
            suites.available()


class TestChecks:
    def read(self, tmp_path, code, **counts):
        report = tmp_path / "report.xml"
        values = " ".join(f'{name}="{value}"' for name, value in counts.items())
        report.write_text(f"<testsuites><testsuite {values}/></testsuites>")
        outcome = checks._read("x", report, code)
        return outcome.passed, outcome.failed, outcome.skipped

    def test_counts(self, tmp_path):
        assert self.read(tmp_path, 1, tests=10, failures=2, errors=1, skipped=3) == (4, 3, 3)
        assert self.read(tmp_path, 0, tests=7, failures=0, errors=0, skipped=1) == (6, 0, 1)
        assert self.read(tmp_path, checks.NO_TESTS, tests=0, failures=0, errors=0, skipped=0) == (0, 0, 0)

    def test_a_run_that_broke_off_failed(self, tmp_path, capsys):
        assert self.read(tmp_path, -11, tests=7, failures=0, errors=0, skipped=0) == (7, 1, 0)
        assert checks._read("x", tmp_path / "none.xml", -11).failed == 1
        assert "broke off" in capsys.readouterr().out

    def test_the_summary_adds_up(self, capsys):
        outcomes = [checks.Outcome("a", 3, 0, 1, 2.0), checks.Outcome("b", 4, 2, 0, 1.0)]
        assert checks._summary(outcomes, []) == 1
        assert capsys.readouterr().out.splitlines()[-1] == "7 passed, 2 failed, 1 skipped"
        assert checks._summary(outcomes[:1], []) == 0
        with pytest.raises(BuildError, match="No test ran"):
            checks._summary([checks.Outcome("a")], [])

    def test_waiting_threads_sleep_unless_the_user_says_otherwise(self, monkeypatch):
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        assert checks.surroundings()["OMP_WAIT_POLICY"] == "PASSIVE"
        monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
        assert checks.surroundings()["OMP_WAIT_POLICY"] == "ACTIVE"

    def test_blender_learns_the_backends_python_where_there_is_one(self, monkeypatch):
        monkeypatch.delenv("MVDREAM_TEST_BACKEND_PYTHON", raising=False)
        monkeypatch.setattr(checks, "ready", lambda environment: Path("/x", environment.name))
        assert checks.surroundings()["MVDREAM_TEST_BACKEND_PYTHON"] == str(Path("/x/backend"))
        monkeypatch.setattr(checks, "ready", lambda _environment: None)
        assert "MVDREAM_TEST_BACKEND_PYTHON" not in checks.surroundings()


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


class TestSlugs:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("a red mug", "a-red-mug"),
            ("  A *red* mug!  ", "a-red-mug"),
            ("../../etc/passwd", "etc-passwd"),
            ("une tasse d'été", "une-tasse-d-été"),
            ("赤いマグカップ", "赤いマグカップ"),
            ("ก้อน", "ก้อน"),
            ("🎈🎈", "object"),
            ("", "object"),
            ("con", "con-object"),
            ("x" * 300, "x" * 60),
            ("a b" + "-" * 80, "a-b"),
        ],
    )
    def test_names(self, text, name):
        assert slugs.slug(text) == name
        assert len(slugs.slug(text).encode()) <= 255


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["demo", "  "], 'The prompt is empty: say what to make, for example "a red mug".'),
            (
                ["demo", "a red mug", "--seed", "-1"],
                "The seed must be between 0 and 2147483647; -1 was given.",
            ),
            (
                ["demo", "a red mug", "--blender", "3.6"],
                "There is no environment for Blender '3.6'. Versions: 4.2, 5.0, 5.2.",
            ),
            (
                ["env", "front"],
                "There is no environment 'front'. "
                "Environments: backend, blender-4.2, blender-5.0, blender-5.2.",
            ),
        ],
    )
    def test_a_mistake_is_one_sentence(self, arguments, sentence, capsys, monkeypatch):
        monkeypatch.setattr(children, "stop_on_signals", lambda: None)
        assert command_line.main(arguments) == command_line.EXIT_USER
        assert capsys.readouterr().err == sentence + "\n"

    @pytest.mark.parametrize("command", ["env", "demo", "test", "zip", "python"])
    def test_every_command_explains_itself(self, command, capsys):
        with pytest.raises(SystemExit) as end:
            command_line.parse([command, "--help"])
        assert end.value.code == 0
        assert len(capsys.readouterr().out) > 150

    def test_pytest_gets_what_stands_behind_the_dashes(self):
        assert command_line.parse(["test", "--", "-k", "a or b", "--", "x"]).handed_on == [
            "-k",
            "a or b",
            "--",
            "x",
        ]
        assert command_line.parse(["test"]).handed_on == []

    def test_python_gets_everything(self):
        assert command_line.parse(["python", "-m", "backend", "--help"]).handed_on == [
            "-m",
            "backend",
            "--help",
        ]
        chosen = command_line.parse(["python", "--blender", "4.2", "-c", "0"])
        assert (chosen.blender, chosen.handed_on) == ("4.2", ["-c", "0"])

    def test_being_stopped_is_said(self, capsys, monkeypatch):
        def stop(_environment, _again=False):
            raise KeyboardInterrupt

        monkeypatch.setattr(children, "stop_on_signals", lambda: None)
        monkeypatch.setattr(installation, "ensure", stop)
        assert command_line.main(["env", "backend"]) == command_line.EXIT_STOPPED
        assert capsys.readouterr().err == "\nStopped.\n"

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

    def test_an_output_folder_that_cannot_be_made_is_named(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(BuildError, match="Choose another one with --out"):
            demo.run("a red mug", 0, "draft", tmp_path / "file" / "out", BLENDERS["5.0"])


class TestConsole:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (119.6, "2 min 00 s"), (185, "3 min 05 s")],
    )
    def test_durations(self, seconds, text):
        assert console.duration(seconds) == text

    def test_a_log_gets_a_line_for_each_kind_of_work(self, capsys):
        progress = console.ProgressLine("backend")
        for text in ("fetching torch, 1 of 9 MB", "fetching torch, 2 of 9 MB", "unpacking 3 packages"):
            progress.show(text, 0.5)
        progress.end("made")
        lines = capsys.readouterr().out.splitlines()
        assert lines[:2] == ["backend: fetching torch, 1 of 9 MB", "backend: unpacking 3 packages"]
        assert lines[2].startswith("backend: made (")


def test_the_value_of_an_option_is_no_path_though_a_folder_has_its_name() -> None:
    assert not suites.is_test_path("backend")
    assert suites.is_test_path("tests/backend")
