# SPDX-License-Identifier: GPL-3.0-or-later
"""A small hub on loopback that huggingface_hub takes for one, and that can be told to misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from backend.diffusion.catalogue import HubFile
from backend.hub.patience import Patience

FILE = HubFile("MVDream/MVDream", "model.pt")
CONTENT = random.Random(1).randbytes(300_000)
# Nothing here waits long; nothing depends on how long it takes.
QUICK = Patience(answer=5.0, stall=5.0, retries=3, answer_retries=2, first_wait=0.01, longest_wait=0.02)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
_CHUNK = 4096


@dataclass
class Manners:
    """How the hub behaves. Lists are used up, one entry a GET; None: behave.

    statuses: answers in order, for requests of any kind, before the hub behaves. break_at, stall_at: position
    in the file where a GET's connection is cut, or says no more.
    """

    statuses: list[int] = field(default_factory=list)
    retry_after: str | None = None
    break_at: list[int | None] = field(default_factory=list)
    stall_at: list[int | None] = field(default_factory=list)
    checksum: str | None = None
    announce: bool = True
    ignore_ranges: bool = False
    refuse_ranges: int = 0
    extra_bytes: int = 0
    token: str | None = None
    store: str | None = None  # where GET and HEAD are redirected to, like the hub's store of large files
    pause: float = 0.0  # seconds between pieces of an answer


def isolate(monkeypatch: pytest.MonkeyPatch, endpoint: str, folder: Path) -> None:
    """Makes this process one of a computer that has `endpoint` for a hub, no login and an empty cache."""
    # Before huggingface_hub is imported for the first time, which reads it once.
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import constants

    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub-cache"))


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    range: str | None
    authorization: str | None


class HubServer:
    """Serves `files` ("MVDream/MVDream/name" to bytes) at `url` until closed; notes all `requests`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.committed = files  # what COMMIT has: the same, until a test lets the branch move on
        self.manners = Manners()
        self.requests: list[Request] = []
        self.closing = threading.Event()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ranges(self) -> list[str | None]:
        """The Range of every GET."""
        return [request.range for request in self.requests if request.method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[HubServer]
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, manners = self.hub, self.hub.manners
        wanted, token = self.headers.get("Range"), self.headers.get("Authorization")
        hub.requests.append(Request(self.command, self.path, wanted, token))
        if manners.statuses:
            return self._refuse(manners.statuses.pop(0))
        in_store = self.path.startswith("/store/")
        if manners.token and not in_store and token != f"Bearer {manners.token}":
            return self._refuse(401)
        pinned = f"/resolve/{COMMIT}/" in self.path
        name = self.path.removeprefix("/store/").removeprefix("/")
        name = name.replace("/resolve/main/", "/").replace(f"/resolve/{COMMIT}/", "/")
        content = (hub.committed if pinned else hub.files).get(name)
        if content is None:
            return self._refuse(404)
        announced = {
            "ETag": f'"{COMMIT[:8]}"',
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{manners.checksum or hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
        }
        headers = announced if manners.announce and not in_store else {}
        if manners.store and not in_store:
            return self._head(302, headers | {"Location": f"{manners.store}/store/{name}"}, 0)
        self._send(content + b"!" * manners.extra_bytes, headers, wanted)

    def _send(self, content: bytes, headers: dict[str, str], wanted: str | None) -> None:
        manners = self.hub.manners
        start = 0
        if wanted and manners.refuse_ranges:
            manners.refuse_ranges -= 1
            return self._refuse(416)
        if wanted and not manners.ignore_ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers = headers | {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        self._head(206 if start else 200, headers | {"Accept-Ranges": "bytes"}, len(content) - start)
        if self.command == "HEAD":
            return
        cut = manners.break_at.pop(0) if manners.break_at else None
        silent = manners.stall_at.pop(0) if manners.stall_at else None
        end = min(x for x in (cut, silent, len(content)) if x is not None)
        with contextlib.suppress(OSError):  # the other side is gone
            for position in range(start, end, _CHUNK):
                self.wfile.write(content[position : min(position + _CHUNK, end)])
                self.hub.closing.wait(manners.pause)
        if cut is not None or silent is not None:
            if silent is not None:
                self.hub.closing.wait()
            self.close_connection = True

    def _refuse(self, status: int) -> None:
        extra = {"Retry-After": self.hub.manners.retry_after} if self.hub.manners.retry_after else {}
        self._head(status, extra, 0)

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
