# SPDX-License-Identifier: GPL-3.0-or-later
"""The small parts: failure sentences, file names, locks, messages, tokens, room on the disk."""

import asyncio
import errno
import stat
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import httpx
import pytest

from backend.errors import UserError
from backend.service import admission, failures, files, messages
from backend.service.app import Service, create_app
from backend.service.locks import FileLock
from backend.service.security import choose_token
from backend.service.store import JobStore
from backend.service.supervisor import Supervisor

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate"), "graphics card"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "this computer"),
        (MemoryError(), "this computer"),
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (
            RuntimeError(
                'Error while serializing: IoError(Os { code: 28, message: "No space left on device" })'
            ),
            "full",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/a/mesh.glb"), "/a/mesh.glb may not"),
        (ModuleNotFoundError("No module named 'xatlas'", name="xatlas"), "'xatlas'"),
        (ValueError("bad shape"), "ValueError: bad shape"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_exceptions_in_words(error: Exception, part: str, tmp_path: Path) -> None:
    said = failures.explain_exception(error, tmp_path, "generate")
    assert part in said
    assert not said.endswith(": ")


@pytest.mark.parametrize(
    ("code", "log", "part"),
    [
        (-9, "", "most likely because memory ran out"),
        (1, "terminate called after throwing an instance of 'std::bad_alloc'", "memory ran out"),
        (-11, "loading\n\n", 'crashed (SIGSEGV). Its last words: "loading"'),
        (-15, "", "stopped from outside"),
        (3221225477, "", "exit code 0xc0000005"),
        (-250, "", "signal 250"),
        (1, "x" * 20000, "x" * 300 + '"'),
    ],
)
def test_exits_in_words(code: int, log: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(log)
    assert part in failures.explain_exit(code, "generate", tmp_path / "log")
    assert failures.explain_exit(code, "generate", tmp_path / "missing")


def test_what_an_earlier_worker_said_does_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("RuntimeError: CUDA out of memory\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("Killed by a bug\n")
    assert "Killed by a bug" in failures.explain_exit(1, "generate", log, start)
    assert "memory" in failures.explain_exit(1, "generate", log)


@pytest.mark.parametrize(
    ("kind", "memory", "again"),
    [
        ("generate", 'the preset "draft" or the small model', "resume the job"),
        ("views", "Choose the small model, or", "ask for the views again"),
        ("download", "Close other programs, then", "download the model again"),
    ],
)
def test_a_way_out_that_suits_the_kind(kind: str, memory: str, again: str, tmp_path: Path) -> None:
    short = failures.explain_exception(MemoryError(), tmp_path, kind)
    killed = failures.explain_exit(-9, kind, tmp_path / "log")
    assert memory in short
    assert memory in killed
    assert ("preset" in short + killed) is (kind == "generate")
    full = failures.explain_exception(OSError(errno.ENOSPC, "full"), tmp_path, kind)
    ends = [failures.explain_exit(code, kind, tmp_path / "log") for code in (-15, 3)]
    assert [again in said for said in [full, *ends]] == [True] * 3
    assert ("checkpoint" in full) is (kind == "generate")


@pytest.mark.parametrize("name", ["mesh.glb", "preview.png", "a_1-2.webp"])
def test_plain_names(name: str) -> None:
    assert files.is_plain_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "a\\b", "../a", "a\n", "a\x00", "c:a", "x" * 101]
)
def test_names_that_are_not_plain(name: str, tmp_path: Path) -> None:
    assert not files.is_plain_name(name)
    assert files.locate(tmp_path, name) is None


def test_results_are_finished_files_only(tmp_path: Path) -> None:
    for name in ("mesh.glb", "preview.png", "settings.json", "job.json", "worker.log", "checkpoint.json"):
        (tmp_path / name).touch()
    for name in ("mesh.glb.tmp", "checkpoint.safetensors", "notes.txt", ".a.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "mesh.glb")
    assert files.results(tmp_path) == ["mesh.glb", "preview.png", "settings.json"]


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1}, private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"a": float("nan")})
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_keeps_other_processes_out_until_it_is_released(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from backend.service.locks import FileLock;"
        "sys.exit(0 if FileLock(Path(sys.argv[1])).acquire() else 7)"
    )

    def other() -> int:
        return subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False).returncode

    lock = FileLock(tmp_path / "lock")
    assert lock.acquire()
    assert other() == 7
    lock.release()
    assert other() == 0


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"50 %|####     |\n",
        b'{"type":"progress"}\n',
        b'{"type":"progress","stage":"distil","fraction":NaN}\n',
        b'{"type":"hello"}\n',
        b"[1]\n",
        b"\xff\n",
    ],
)
def test_lines_that_are_no_messages_are_ignored(line: bytes) -> None:
    assert messages.parse(line) is None


def test_messages() -> None:
    progress = messages.parse(
        b'{"type":"progress","stage":"mesh","step":1,"steps":2,"fraction":0.5,"seconds_left":3}\n'
    )
    assert isinstance(progress, messages.ProgressMessage)
    assert (progress.stage, progress.seconds_left, progress.preview) == ("mesh", 3.0, None)
    assert messages.parse(b'{"type":"done","files":["a"]}') == messages.DoneMessage(type="done", files=["a"])


def test_a_store_that_refuses_is_told_in_a_sentence(tmp_path: Path) -> None:
    async def ask() -> httpx.Response:
        # In this thread, to which the store belongs.
        store = JobStore(tmp_path / "jobs.sqlite")
        supervisor = Supervisor(store, tmp_path)
        service = Service(store, supervisor, supervisor, tmp_path, shut_down=lambda: None)
        store._db.execute("DROP TABLE jobs")
        transport = httpx.ASGITransport(create_app(service, "a-token-for-tests"), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/v1/jobs", headers={"Authorization": "Bearer a-token-for-tests"})

    answer = asyncio.run(ask())
    assert answer.status_code == 503
    assert "list of jobs cannot be used now (no such table: jobs)" in answer.json()["detail"]


def test_tokens() -> None:
    assert choose_token("a-token-for-tests") == "a-token-for-tests"
    assert len(choose_token(None)) > 30
    assert choose_token(None) != choose_token(None)
    for bad in ("short", "with a blank in it!", "line\nbreak-line-break", "ü" * 20):
        with pytest.raises(UserError, match="MVDREAM_TOKEN"):
            choose_token(bad)


def test_too_little_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 10**12, 12 * 10**6))
    with pytest.raises(UserError, match=r"Only 12 MB are free .* 500 MB"):
        admission.check_room(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 0, 500 * 10**6))
    admission.check_room(tmp_path)


def test_a_read_only_data_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match="not writable"):
        admission.check_room(tmp_path)
