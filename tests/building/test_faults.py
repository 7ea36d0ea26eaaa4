# SPDX-License-Identifier: GPL-3.0-or-later
"""What the system refuses becomes a sentence: folders that can't be written, full disks. No tracebacks."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from building import children, command_line, demo, environments, extension, faults, installation, layout
from building.environments import BLENDERS
from building.errors import BuildError

LINUX = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")


class TestSentences:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk(self, number):
        error = OSError(number, os.strerror(number), "/cache/x")
        assert faults.is_full(error)
        assert faults.in_cache(error, "making backend", "/cache") == (
            "The disk became full while making backend in /cache: free some space, or set MVDREAM_CACHE to a "
            "folder on another disk, then try again."
        )
        assert faults.anywhere(error).startswith("The disk became full at /cache/x: free some space")

    def test_a_folder_that_cannot_be_written(self):
        error = PermissionError(errno.EACCES, "Permission denied", "/cache/x")
        assert not faults.is_full(error)
        assert faults.in_cache(error, "making backend", "/cache") == (
            "/cache/x can't be used (Permission denied), which making backend needs. "
            "Set MVDREAM_CACHE to a folder that can be written."
        )
        assert faults.anywhere(error) == "/cache/x: Permission denied. Change that, then try again."

    def test_an_error_that_names_nothing(self):
        assert faults.in_cache(OSError("odd"), "making backend", "/cache").startswith(
            "/cache can't be used (odd)"
        )
        assert faults.anywhere(OSError()) == "The system: OSError. Change that, then try again."


class TestCache:
    """Each thing in the cache that is not what it should be."""

    def fails(self, tiny, *words):
        with pytest.raises(BuildError) as caught:
            installation.ensure(tiny)
        for word in ("MVDREAM_CACHE", *words):
            assert word in str(caught.value)

    def test_no_folder_for_environments_can_be_made(self, tiny, cache):
        cache.mkdir()
        (cache / "environments").touch()
        self.fails(tiny, str(cache / "environments"))

    def test_the_lock_cannot_be_opened(self, tiny, here):
        folder = tiny.folder(here)
        folder.with_name(folder.name + ".lock").mkdir(parents=True)
        self.fails(tiny, ".lock", "Is a directory" if os.name == "posix" else "")

    def test_the_log_cannot_be_written(self, tiny, here):
        folder = tiny.folder(here)
        folder.with_name(folder.name + ".log").mkdir(parents=True)
        self.fails(tiny, ".log")

    @LINUX
    def test_the_disk_fills_up_with_the_log(self, tiny, here, monkeypatch):
        folder = tiny.folder(here)
        folder.parent.mkdir(parents=True)
        folder.with_name(folder.name + ".log").symlink_to("/dev/full")
        talker = [sys.executable, "-c", "print('x' * 100_000)"]
        run = installation._run
        monkeypatch.setattr(installation, "_run", lambda command, *rest: run(talker, *rest))
        self.fails(tiny, "The disk became full while making tiny")

    @pytest.mark.parametrize("words", ["[Errno 28] No space left on device", "Disk quota exceeded"])
    def test_the_disk_fills_up_with_packages(self, tiny, monkeypatch, words):
        def run(command, log, lock, output):
            log.write_text(f"ERROR: Could not install packages due to an OSError: {words}\n")
            return 1

        monkeypatch.setattr(installation, "_run", run)
        with pytest.raises(BuildError, match="The disk became full while tiny was made: free some space"):
            installation.ensure(tiny)

    def test_the_mark_of_completeness_cannot_be_written(self, tiny, here, monkeypatch, fake_installer):
        installer = fake_installer()

        def run(command, *rest):
            code = installer(command, *rest)
            (tiny.folder(here) / (environments.MARKER + ".new")).mkdir(exist_ok=True)
            return code

        monkeypatch.setattr(installation, "_run", run)
        self.fails(tiny, environments.MARKER)
        assert environments.ready(tiny) is None

    def test_a_python_that_is_gone(self, tiny, here, tmp_path, monkeypatch):
        here.path = str(tmp_path / "gone" / "python")
        self.fails(tiny, here.path)

    def test_one_that_is_complete_needs_nothing_to_be_written(self, tiny, here, monkeypatch, fake_installer):
        monkeypatch.setattr(installation, "_run", fake_installer())
        python = installation.ensure(tiny)
        folder = tiny.folder(here)
        lock = folder.with_name(folder.name + ".lock")
        lock.unlink()
        lock.mkdir()
        assert installation.ensure(tiny) == python

    def test_nobody_reads_the_progress_any_more(self, tiny, monkeypatch):
        def run(*_):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

        monkeypatch.setattr(installation, "_run", run)
        with pytest.raises(BrokenPipeError):
            installation.ensure(tiny)

    def test_a_home_that_is_unknown(self, monkeypatch):
        monkeypatch.setenv(layout.CACHE_VARIABLE, "~nobody-of-this-name/cache")
        with pytest.raises(BuildError, match="no home folder"):
            layout.cache_folder()

    def test_a_lock_file_that_is_missing(self, tiny, tmp_path):
        (tmp_path / "requirements" / "tiny.txt").unlink()
        with pytest.raises(BuildError, match=r"tiny\.txt can't be read: .*Is the checkout complete"):
            installation.ensure(tiny)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
class TestReadOnly:
    """The real thing: an ordinary user and folders of somebody else."""

    def run(self, *arguments, **environment):
        # Root may write anywhere, so it steps down for this.
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        options = {"cwd": "/", "capture_output": True, "text": True, **user}
        done = subprocess.run(
            [self.python(options), "-B", str(layout.ROOT / "build.py"), *arguments],
            env={**os.environ, **environment},
            **options,
        )
        assert "Traceback" not in done.stdout + done.stderr
        assert done.returncode == command_line.EXIT_USER
        return done.stderr

    def python(self, options):
        """A Python that this user may start, and that may read the checkout."""
        code = (
            f"import venv, sys; open({str(layout.ROOT / 'build.py')!r}); sys.exit(sys.version_info < (3, 11))"
        )
        for candidate in (sys.executable, shutil.which("python3", path=os.defpath)):
            try:
                if candidate and not subprocess.run([candidate, "-c", code], **options).returncode:
                    return candidate
            except PermissionError:
                continue
        pytest.skip("other users can't start a Python 3.11 or read this checkout")

    @pytest.fixture
    def read_only(self, tmp_path):
        for folder in (tmp_path, *tmp_path.parents[:2]):
            if os.access(folder, os.W_OK):
                folder.chmod(folder.stat().st_mode | 0o055)
        folder = tmp_path / "read-only"
        folder.mkdir()
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)

    @pytest.mark.parametrize("inside", ["", "cache"])
    def test_the_cache(self, read_only, inside):
        said = self.run("env", "backend", MVDREAM_CACHE=str(read_only / inside))
        assert str(read_only) in said
        assert "Permission denied" in said
        assert "Set MVDREAM_CACHE to a folder" in said
        assert len(said.splitlines()) == 1

    @pytest.mark.parametrize("inside", ["", "results"])
    def test_the_output(self, read_only, inside):
        said = self.run("demo", "a red mug", "--out", str(read_only / inside))
        assert "Permission denied. Choose another one with --out." in said


class TestOutput:
    @pytest.mark.parametrize("where", ["file/out", "~nobody-of-this-name/out"])
    def test_an_output_folder_that_cannot_be_made(self, tmp_path, monkeypatch, where):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").touch()
        with pytest.raises(BuildError, match="Choose another one with --out"):
            demo.run("a red mug", 0, "draft", Path(where), BLENDERS["5.0"])

    def test_blender_met_a_full_disk(self, tmp_path):
        log = tmp_path / "blender.log"
        log.write_text("Traceback (most recent call last):\nOSError: [Errno 28] No space left on device\n")
        with pytest.raises(BuildError, match=r"The disk became full at .* while Blender worked") as caught:
            demo._read(tmp_path / "none.json", log, 1)
        assert "Traceback" not in str(caught.value)

    def test_the_result_cannot_be_written(self, monkeypatch):
        monkeypatch.syspath_prepend(str(demo.SCRIPT.parent))
        namespace = {"__name__": "script"}
        exec(compile(demo.SCRIPT.read_text(encoding="utf-8"), "demo", "exec"), namespace)  # noqa: S102
        sentence = namespace["_sentence"](OSError(errno.ENOSPC, "No space left on device", "/out/mesh.glb"))
        assert sentence.startswith("The result can't be written to /out/mesh.glb: No space left on device.")

    def test_a_zip_that_cannot_be_written(self, tmp_path, monkeypatch):
        monkeypatch.setattr(extension, "_tool", lambda python: python)
        (tmp_path / "file").touch()
        with pytest.raises(BuildError, match=r"mvdream_blender-.*\.zip can't be written"):
            extension.build(Path(sys.executable), tmp_path / "file" / "dist")


class TestCommandLine:
    @pytest.mark.parametrize(
        ("error", "code", "said"),
        [
            (
                OSError(errno.ENOSPC, "No space left on device"),
                2,
                "The disk became full: free some space, then",
            ),
            (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "/x: Permission denied."),
        ],
    )
    def test_what_nobody_foresaw_is_a_sentence_too(self, error, code, said, monkeypatch, capsys):
        def fail(_environment, _again=False):
            raise error

        monkeypatch.setattr(children, "stop_on_signals", lambda: None)
        monkeypatch.setattr(installation, "ensure", fail)
        assert command_line.main(["env", "backend"]) == code
        assert capsys.readouterr().err.startswith(said)

    @pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
    def test_a_reader_that_left_is_no_error_to_tell(self, tmp_path):
        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from building import command_line, installation\n"
            "from building.console import say\n"
            "installation.ensure = lambda *_: [say('x' * 1000) for _ in range(1000)]\n"
            "sys.exit(command_line.main(['env', 'backend']))\n"
        )
        command = [sys.executable, "-c", code, str(layout.ROOT)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == command_line.EXIT_FAILED
