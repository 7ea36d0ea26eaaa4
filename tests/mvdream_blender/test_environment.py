# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's environment with a fake Python that makes fake environments."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mvdream_blender import environment as module
from mvdream_blender import replacing
from mvdream_blender.environment import Environment
from mvdream_blender.environment_marker import MARKER
from mvdream_blender.errors import MVDreamError
from mvdream_blender.hardware import Computer
from mvdream_blender.install_output import InstallProgress
from mvdream_blender.locks import FileLock
from mvdream_blender.processes import is_alive
from mvdream_blender.tasks import Delay, Task, run

# "-m venv FOLDER" makes a copy of itself there; pip and the check obey the file "behave" beside it. What pip
# was asked for is in "asked"; which PyTorch the check finds is in "built".
FAKE = """#!/bin/sh
if [ "$2" = venv ]; then
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
    exit 0
fi
if [ "$1" = -I ]; then
    rm -rf "$4"
    exit 0
fi
behave=$(cat behave 2>/dev/null)
echo "$* TMPDIR=$TMPDIR" >>asked
case "$*" in
*--index-url*torch==*)
    [ "$behave" = "no build" ] && echo "ERROR: No matching distribution found for torch" && exit 1
    [ "$behave" = "cut off" ] && echo "ERROR: IncompleteRead" && exit 1
    ;;
*"-r "*)
    echo "Collecting torch==2.13"
    echo "  Downloading torch-2.13-cp311.whl (190.1 MB)"
    echo "Progress 50 of 200"
    [ "$behave" = hang ] && trap '' TERM && { sleep 600 & echo $! >"children"; sleep 600; }
    [ "$behave" = offline ] && echo "NameResolutionError: pypi.org" && exit 1
    [ "$behave" = full ] && echo "ERROR: [Errno 28] No space left on device" && exit 1
    ;;
-c*)
    [ "$behave" = broken ] && echo "ImportError: libcudart.so" && exit 1
    echo "{\\"torch\\": \\"2.13\\", \\"built\\": \\"$(cat built 2>/dev/null || echo cpu)\\"}" >"$3"
    ;;
esac
exit 0
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


@pytest.fixture
def environment(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "NEEDED_BYTES", dict.fromkeys(module.NEEDED_BYTES, 1))
    base = tmp_path / "base python"
    base.write_text(FAKE)
    base.chmod(0o755)
    (tmp_path / "backend.txt").write_text("torch==2.13\n")
    user = tmp_path / "üser folder"
    user.mkdir()
    return Environment(user / "env", tmp_path / "backend.txt", base)


def behave(environment, how):
    (environment.folder.parent / "behave").write_text(how)


def test_complete_only_at_the_end(environment):
    seen = []
    assert not environment.ready
    run(
        environment.install(
            lambda progress: seen.append((progress.message, progress.fraction, environment.ready))
        ),
        30,
    )
    assert environment.ready
    messages = [message for message, _, _ in seen]
    assert messages[0] == "Making a Python environment"
    assert "Downloading torch-2.13-cp311.whl (190.1 MB)" in messages
    assert 0.25 in [fraction for _, fraction, _ in seen]
    assert [ready for _, _, ready in seen] == [False] * (len(seen) - 1) + [True]


@pytest.mark.parametrize(
    ("how", "message"),
    [("offline", "package index can't be reached"), ("full", "disk became full"), ("broken", "libcudart")],
)
def test_failures_are_told_and_leave_nothing_ready(environment, how, message):
    behave(environment, how)
    with pytest.raises(MVDreamError, match=message) as caught:
        run(environment.install(), 30)
    assert caught.value.fix == "install"
    assert not environment.ready


def test_interrupted_install_is_redone(environment, monkeypatch):
    behave(environment, "hang")
    task = Task(environment.install())
    while not (environment.log_file.exists() and "Progress" in environment.log_file.read_text()):
        task.tick()
    leftover = environment.folder / "half.txt"
    leftover.write_text("half")
    children = environment.folder.parent / "children"
    until(lambda: children.exists() and children.read_text().strip())
    # Closing waits for nothing, and takes pip's own children along, also those that do not want to go.
    monkeypatch.setattr(subprocess.Popen, "wait", None)
    task.close()
    monkeypatch.undo()
    monkeypatch.setattr(module, "NEEDED_BYTES", dict.fromkeys(module.NEEDED_BYTES, 1))
    until(lambda: not alive(int(children.read_text())))
    assert not environment.ready
    behave(environment, "")
    run(environment.install(), 30)
    assert environment.ready
    assert not leftover.exists()


def until(condition):
    def steps():
        while not condition():
            yield Delay(0.02)

    run(steps(), 20)


def alive(pid):
    """A zombie that nobody has asked about yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return is_alive(pid) and sys.platform != "linux"


def test_the_old_environment_is_removed_by_a_child_process(environment, monkeypatch):
    run(environment.install(), 30)
    (environment.folder / "many files").mkdir()
    left_over = environment.folder.with_name("env.old-1234")
    left_over.mkdir()
    monkeypatch.setattr(module.shutil, "rmtree", None)
    seen = []
    run(environment.install(lambda progress: seen.append(progress.message)), 30)
    assert (seen[0], seen[-2:]) == (
        "Removing the old environment",
        ["Removing the old environment", "Installed"],
    )
    assert environment.ready
    assert not (environment.folder / "many files").exists()
    assert list(environment.folder.parent.glob("env.old-*")) == []


def test_an_environment_in_use_is_told(environment, monkeypatch):
    run(environment.install(), 30)
    monkeypatch.setattr(replacing, "CLEAR_SECONDS", 0.1)

    def refuse(self, target):
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(MVDreamError, match="can't be replaced: Access is denied"):
        run(environment.install(), 30)
    assert environment.ready


def test_two_blenders_do_not_install_at_once(environment):
    behave(environment, "hang")
    first = Task(environment.install())
    while not (environment.log_file.exists() and "Progress" in environment.log_file.read_text()):
        first.tick()
    second = Environment(environment.folder, environment.requirements, environment.base_python)
    with pytest.raises(MVDreamError, match="Another Blender is installing"):
        run(second.install(), 30)
    assert first.tick() is False
    first.close()
    behave(environment, "")
    run(second.install(), 30)
    assert second.ready


def install_for(environment, platform, smi=None, built=None, report=lambda progress: None):
    """Install for a platform on Linux; returns what pip was asked for, without the options of every call."""
    root = environment.folder.parents[1] / "root"
    if smi is not None:
        program = root / "usr/lib/wsl/lib/nvidia-smi"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{smi}\n")
        program.chmod(0o755)
    (environment.folder.parent / "built").write_text(built or platform)
    computer = Computer("linux", "x86_64", root, root / "Windows")
    made = Environment(
        environment.folder, environment.requirements, environment.base_python, platform, computer
    )
    run(made.install(report), 30)
    assert made.ready
    asked = (made.folder.parent / "asked").read_text().splitlines()
    options = "-m pip install --no-input --disable-pip-version-check "
    return made, [line.partition(" TMPDIR")[0].removeprefix(options) for line in asked if options in line]


@pytest.fixture
def no_nvidia_smi(monkeypatch):
    monkeypatch.setattr("mvdream_blender.hardware.shutil.which", lambda name: None)


@pytest.mark.usefixtures("no_nvidia_smi")
@pytest.mark.parametrize(
    ("platform", "smi", "tag"),
    [
        ("cpu", None, "cpu"),
        ("cuda", None, "cu130"),
        ("cuda", "echo 6.1, 580.65.06", "cu126"),
        ("cuda", "echo 12.0, 580.65.06", "cu130"),
        ("cuda", "echo 6.1, 580.65.06; exit 9", "cu130"),
        ("rocm", "exit 1", "rocm7.2"),
    ],
)
def test_the_build_for_the_platform_comes_first(environment, platform, smi, tag):
    made, asked = install_for(environment, platform, smi)
    index = f"https://download.pytorch.org/whl/{tag}"
    assert asked[0] == "--upgrade pip>=24.1"
    assert asked[1] == f"--progress-bar raw --no-deps --index-url {index} torch==2.13+{tag}"
    rest = f"--progress-bar raw -r {environment.requirements}"
    assert asked[2:] == [f"{rest} --extra-index-url {index}" if platform == "rocm" else rest]
    assert (made.wanted, made.built) == (platform, platform)


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_build_that_can_not_be_had_is_replaced_and_told(environment):
    behave(environment, "no build")
    seen = []
    told = "torch==2.13+cu130 can't be had from https://download.pytorch.org/whl/cu130"
    made, asked = install_for(
        environment, "cuda", built="cpu", report=lambda progress: seen.append(progress.message)
    )
    assert "Fetching PyTorch for NVIDIA cards (CUDA)" in seen
    assert any(message.startswith(told) for message in seen)
    assert asked[2:] == [f"--progress-bar raw -r {environment.requirements}"]
    assert (made.wanted, made.built) == ("cuda", "cpu")
    assert told in made.log_file.read_text()


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_replacement_needs_room_for_the_default_build(environment, monkeypatch):
    monkeypatch.setitem(module.NEEDED_BYTES, "cuda", 10**18)
    behave(environment, "no build")
    with pytest.raises(MVDreamError, match="GB of disk space"):
        install_for(environment, "cpu")


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_broken_download_is_no_reason_for_another_build(environment):
    behave(environment, "cut off")
    with pytest.raises(MVDreamError, match="IncompleteRead"):
        install_for(environment, "cuda")


def test_no_build_for_this_computer(environment):
    computer = Computer("win32", "AMD64")
    bad = Environment(environment.folder, environment.requirements, environment.base_python, "rocm", computer)
    with pytest.raises(MVDreamError, match="for Linux on x86-64 only") as caught:
        run(bad.install(), 30)
    assert caught.value.fix == "preferences"
    assert not environment.folder.exists()


def test_downloads_are_made_on_the_disk_that_was_measured(environment):
    run(environment.install(), 30)
    asked = (environment.folder.parent / "asked").read_text().splitlines()
    downloads = f"TMPDIR={environment.folder}.old-downloads"
    assert [downloads in line for line in asked if " pip " in line] == [True, True, True]
    assert not Path(f"{environment.folder}.old-downloads").exists()


def test_another_platform_leaves_it_ready(environment):
    install_for(environment, "rocm", built="cpu")
    again = Environment(environment.folder, environment.requirements, environment.base_python, "cpu")
    assert again.ready
    assert (again.wanted, again.built) == ("rocm", "cpu")


@pytest.mark.parametrize("how", ["offline", "full", "broken"])
def test_a_failed_reinstallation_leaves_what_was_there(environment, how):
    run(environment.install(), 30)
    mine = environment.folder / "mine"
    mine.touch()
    behave(environment, how)
    seen = []
    with pytest.raises(MVDreamError):
        run(environment.install(lambda progress: seen.append(environment.ready)), 30)
    assert set(seen) == {False}
    assert environment.ready
    assert mine.exists()
    behave(environment, "")
    run(environment.install(), 30)
    assert environment.ready
    assert not mine.exists()
    assert sorted(file.name for file in environment.folder.parent.glob("env*")) == ["env", "env.lock"]


def test_a_cancelled_reinstallation_leaves_what_was_there(environment):
    run(environment.install(), 30)
    behave(environment, "hang")
    task = Task(environment.install())
    while not ((children := environment.folder.parent / "children").exists() and children.read_text()):
        task.tick()
    assert not environment.ready
    task.close()
    assert environment.ready


def test_a_python_that_vanished_leaves_what_was_there(environment, tmp_path):
    run(environment.install(), 30)
    bad = Environment(environment.folder, environment.requirements, tmp_path / "none")
    with pytest.raises(MVDreamError, match="can't be started"):
        run(bad.install(), 30)
    assert environment.ready


def test_an_installation_that_died_with_its_blender_is_undone(environment):
    run(environment.install(), 30)
    environment.folder.rename(environment.folder.with_name("env.kept"))
    (environment.folder / "bin").mkdir(parents=True)
    holder = FileLock(environment.folder.with_name("env.lock"))
    assert holder.acquire()
    environment.recover()  # another Blender is at it
    assert not environment.ready
    holder.release()
    environment.recover()
    assert environment.ready
    assert not environment.folder.with_name("env.kept").exists()


def test_what_was_kept_for_other_requirements_is_not_brought_back(environment):
    run(environment.install(), 30)
    kept = environment.folder.with_name("env.kept")
    environment.folder.rename(kept)
    environment.requirements.write_text("torch==2.14\n")
    environment.recover()
    assert not environment.folder.exists()
    run(environment.install(), 30)
    assert environment.ready
    assert not kept.exists()


def test_other_requirements_or_another_place_want_another_environment(environment, tmp_path):
    run(environment.install(), 30)
    environment.requirements.write_text("torch==2.14\n")
    assert not environment.ready
    environment.requirements.write_text("torch==2.13\n")
    assert environment.ready
    moved = tmp_path / "moved"
    environment.folder.rename(moved)
    assert not Environment(moved, environment.requirements, environment.base_python).ready


@pytest.mark.parametrize("content", ["", "[]", "{", json.dumps({"folder": "x"})])
def test_a_damaged_marker_is_no_marker(environment, content):
    run(environment.install(), 30)
    (environment.folder / MARKER).write_text(content)
    assert not environment.ready


def test_no_disk_space(environment, monkeypatch):
    monkeypatch.setitem(module.NEEDED_BYTES, "cpu", 10**18)
    with pytest.raises(MVDreamError, match="needs 1000000000 GB of disk space"):
        run(environment.install(), 30)


def test_no_list_of_packages(environment):
    environment.requirements.unlink()
    with pytest.raises(MVDreamError, match=r"backend\.txt is missing"):
        run(environment.install(), 30)


def test_a_python_that_does_not_start(environment, tmp_path):
    bad = Environment(environment.folder, environment.requirements, tmp_path / "none")
    with pytest.raises(MVDreamError, match="can't be started"):
        run(bad.install(), 30)


def test_pips_words():
    progress = InstallProgress("x")
    assert progress.read("Progress 1 of 4\n")
    assert progress.fraction == 0.25
    assert progress.read("  Downloading a-1.whl (1 MB)\nProgress 0 of 0\n")
    assert (progress.message, progress.fraction) == ("Downloading a-1.whl (1 MB)", None)
    assert not progress.read("  noise\n")
