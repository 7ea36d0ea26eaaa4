# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads with the real huggingface_hub from a small hub on loopback that misbehaves."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from backend.errors import Cancelled, UserError
from backend.hub import download as module
from backend.hub.patience import Patience
from tests.backend.hub.fetching import Reports, fetch, go_offline, partial_of
from tests.backend.hub.hub_server import COMMIT, CONTENT, FILE, QUICK, HubServer


def test_the_file_arrives_whole_with_one_progress(hub: HubServer, tmp_path: Path) -> None:
    reports = Reports()
    done = fetch(tmp_path, reports)
    assert done.path == tmp_path / "model.pt"
    assert done.path.read_bytes() == CONTENT
    assert (done.size, done.commit, done.source) == (300_000, COMMIT, "MVDream/MVDream/model.pt")
    assert done.checksum == hashlib.sha256(CONTENT).hexdigest()
    steps = [report for report in reports if report[0].startswith("Downloading")]
    assert steps[0][1:] == (0, 300_000)
    assert steps[-1][1:] == (300_000, 300_000)
    assert "300.0 kB of 300.0 kB" in steps[-1][0]
    assert not list(tmp_path.glob("*.partial"))
    fetch(tmp_path)
    assert [request.method for request in hub.requests] == [
        "HEAD",
        "GET",
    ]  # the second time nothing was asked


def test_a_broken_connection_goes_on_at_the_byte_where_it_broke(hub: HubServer, tmp_path: Path) -> None:
    hub.manners.break_at = [100_000, 100_000, 250_000]  # the second breaks before the first new byte
    reports = Reports()
    assert fetch(tmp_path, reports).path.read_bytes() == CONTENT
    assert hub.ranges() == [None, "bytes=100000-", "bytes=100000-", "bytes=250000-"]
    broken = [message for message, *_ in reports if "broke the connection off" in message]
    assert ["attempt 1 of 3" in message for message in broken] == [True, False, True]


def test_after_the_last_retry_a_later_call_goes_on(hub: HubServer, tmp_path: Path) -> None:
    hub.manners.break_at = [120_000] * 5
    with pytest.raises(UserError, match=r"broke off again and again\. 120\.0 kB are here, and the next try"):
        fetch(tmp_path)
    assert partial_of(tmp_path).read_bytes() == CONTENT[:120_000]
    hub.manners.break_at = []
    hub.requests.clear()
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert hub.ranges() == ["bytes=120000-"]


def test_a_stall_counts_as_a_broken_connection(hub: HubServer, tmp_path: Path) -> None:
    hub.manners.stall_at = [80_000]
    reports = Reports()
    assert fetch(tmp_path, reports, patience=replace(QUICK, stall=0.3)).path.read_bytes() == CONTENT
    assert hub.ranges() == [None, "bytes=80000-"]
    assert any("sends nothing" in message for message, *_ in reports)


def test_a_hub_that_only_stalls_is_told_apart(hub: HubServer, tmp_path: Path) -> None:
    hub.manners.stall_at = [0] * 9
    with pytest.raises(UserError, match="stopped sending"):
        fetch(tmp_path, patience=replace(QUICK, stall=0.1, retries=1))


@pytest.mark.parametrize("where", ["during a stall", "between retries", "while asking", "while it flows"])
def test_cancelling_is_at_once(hub: HubServer, tmp_path: Path, where: str) -> None:
    """With waits of an hour: a cancel that had to wait for one would never end this test."""
    waiting = threading.Event()
    if where == "during a stall":
        hub.manners.stall_at = [50_000]
    elif where == "between retries":
        hub.manners.break_at = [50_000]
    elif where == "while it flows":
        hub.manners.pause = 0.05
    else:
        hub.manners.statuses = [503]

    def report(message: str, done: int, total: int) -> None:
        if "again in" in message:
            waiting.set()

    def cancelled() -> bool:
        if where in ("between retries", "while asking"):
            return waiting.is_set()
        have = sum(path.stat().st_size for path in tmp_path.glob("*.partial"))
        return have >= (50_000 if where == "during a stall" else 1)

    endless = Patience(answer=3600, stall=3600, retries=9, first_wait=3600, longest_wait=3600)
    with pytest.raises(Cancelled):
        fetch(tmp_path, report, cancelled=cancelled, patience=endless)
    for thread in [thread for thread in threading.enumerate() if thread.name == "hub"]:
        thread.join(30)
        assert not thread.is_alive(), "the connection was not let go"
    if where != "while asking":
        kept = partial_of(tmp_path).read_bytes()
        assert 0 < len(kept) < len(CONTENT)
        assert kept == CONTENT[: len(kept)]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, r"wants a login for MVDream/MVDream \(401\), or there is no such repository\. Store a token"),
        (403, r"does not give model\.pt to you \(403\)\. Its terms may have to be accepted at 127"),
        (404, r"has no file model\.pt in MVDream/MVDream \(404\)\. HF_ENDPOINT is set"),
        (429, r"too many requests from here \(429\)\. Try again in a few minutes"),
        (500, r"has a fault of its own \(500\)\. Try again later"),
        (418, r"refuses model\.pt \(HTTP status 418\)"),
    ],
)
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_every_status_has_its_sentence(
    hub: HubServer, tmp_path: Path, status: int, said: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method == "HEAD":
        hub.manners.statuses = [status] * 9
    else:
        # The hub behaves until the file is asked for.
        announce = module.Hub.announce

        def then_refuse(self: module.Hub, file: object) -> object:
            answer = announce(self, FILE)
            hub.manners.statuses = [status] * 9
            return answer

        monkeypatch.setattr(module.Hub, "announce", then_refuse)
    with pytest.raises(UserError, match=said):
        fetch(tmp_path)
    tries = 9 - len(hub.manners.statuses)
    passing = status in (429, 500)
    assert tries == (1 if not passing else 3 if method == "HEAD" else 4)


def test_a_fault_that_passes_is_waited_for(hub: HubServer, tmp_path: Path) -> None:
    hub.manners.statuses = [503, 429]
    assert fetch(tmp_path).path.read_bytes() == CONTENT


def test_a_pause_that_the_hub_asks_for_is_kept_and_a_long_one_told(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(module, "sleep", lambda seconds, cancelled: waits.append(seconds))
    hub.manners.statuses, hub.manners.retry_after = [429, 503], "7"
    fetch(tmp_path / "one")
    assert waits == [7.0, 7.0]
    hub.manners.statuses, hub.manners.retry_after = [429], "600"
    with pytest.raises(UserError, match=r"Try again in 600 s"):
        fetch(tmp_path / "two")
    assert len(waits) == 2


def test_pieces_are_all_of_the_announced_commit(hub: HubServer, tmp_path: Path) -> None:
    """The branch moves on, to another file of the same size, while the connection is broken."""
    hub.committed, name = dict(hub.files), str(FILE)
    hub.manners.break_at = [100_000]

    def report(message: str, done: int, total: int) -> None:
        if "attempt" in message:
            hub.files[name] = bytes(reversed(CONTENT))

    assert fetch(tmp_path, report).path.read_bytes() == CONTENT
    assert hub.files[name] != CONTENT
    assert hub.ranges() == [None, "bytes=100000-"]


def test_what_another_program_downloaded_is_used(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout of huggingface_hub's cache: snapshots/<commit>/<file> leads to blobs/<sha256>."""
    checksum = hashlib.sha256(CONTENT).hexdigest()
    home = tmp_path / "hub-cache" / "models--MVDream--MVDream"
    for folder in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (home / folder).mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    blob = home / "blobs" / checksum
    blob.write_bytes(CONTENT)
    (home / "snapshots" / COMMIT / "model.pt").symlink_to(blob)
    go_offline(monkeypatch)
    done = fetch(tmp_path / "own")
    assert done.path == blob
    assert (done.commit, done.checksum, done.size) == (COMMIT, checksum, 300_000)
    blob.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        fetch(tmp_path / "own")


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://127.0.0.1:1", r"127\.0\.0\.1:1 can't be reached \(connection refused\)"),
        ("http://no-such-host.invalid", r"no-such-host\.invalid can't be found \(DNS\)"),
        ("ftp://example.org", "HF_ENDPOINT must be the address of a hub"),
        ("example.org", "HF_ENDPOINT must be the address of a hub"),
        ("http://example.org:port", "HF_ENDPOINT must be the address of a hub"),
    ],
)
def test_no_way_to_the_hub(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, said: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(UserError, match=said):
        fetch(tmp_path)


def test_a_hub_that_accepts_and_says_nothing(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UserError, match="stopped sending"):
            fetch(tmp_path, patience=replace(QUICK, answer=0.1, answer_retries=1))


def test_something_else_answers(hub: HubServer, tmp_path: Path) -> None:
    hub.manners.announce = False
    with pytest.raises(UserError, match=r"is not a Hugging Face hub: .*HF_ENDPOINT is set"):
        fetch(tmp_path)


def test_room_is_checked_before_the_first_byte(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    free = 200_000_000 + 2 * len(CONTENT) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    with pytest.raises(UserError, match=r"has 200\.6 MB free, .* are needed: 300\.0 kB to download"):
        fetch(tmp_path, room_after=1.0)
    assert hub.ranges() == []
    fetch(tmp_path, room_after=0.5)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, r"is full; 300\.0 kB are missing"),
        (errno.EFBIG, "can't hold a file this large"),
        (errno.EIO, "can't be written"),
    ],
)
def test_a_disk_that_gives_up(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    class Full(io.BufferedWriter):
        def write(self, data: object) -> int:
            raise OSError(number, "no")

    def open_full(path: Path, mode: str) -> io.BufferedWriter:
        return Full(io.FileIO(path, "a"))

    monkeypatch.setattr(module, "open", open_full, raising=False)
    with pytest.raises(UserError, match=said):
        fetch(tmp_path)


def test_a_folder_that_cannot_be_made(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        fetch(tmp_path / "file" / "folder")
