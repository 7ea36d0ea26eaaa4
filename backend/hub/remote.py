# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a hub: what a file is, and its bytes from a position on."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from backend import __version__
from backend.diffusion.catalogue import HubFile
from backend.errors import UserError
from backend.hub.patience import Patience

ENDPOINT_VARIABLE = "HF_ENDPOINT"
_PUBLIC_HUB = "https://huggingface.co"
# Becomes a file name, so it is nothing else than what it should be.
_CHECKSUM = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Announced:
    """What the hub says of a file.

    url: of the file in that commit. checksum: sha256 of a large file, git's sha1 of a small one, in hex.
    """

    url: str
    size: int
    checksum: str
    commit: str


class Part(NamedTuple):
    """Bytes of a file and where they belong."""

    position: int
    data: bytes


def prepare_library() -> None:
    """To be called before huggingface_hub is imported: no telemetry, and quiet loggers."""
    # It would ask the hub for more than the file, and wait for the answer.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # They log every request at INFO, signed addresses included.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)


class NotAHub(Exception):
    """Something answered that does not say what a hub says: a login page of a hotel, a wrong mirror."""


class Hub:
    """The hub that the environment names: $HF_ENDPOINT, a mirror, or the public one; with the stored login.

    Raises UserError for an address or a token that cannot be one. `host` is fit to be shown: no user, no
    password, no token.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.endpoint = (os.environ.get(ENDPOINT_VARIABLE) or _PUBLIC_HUB).rstrip("/")
        self.host = _host(self.endpoint)
        self.is_mirror = self.endpoint != _PUBLIC_HUB
        self.has_token = _check_token()

    def announce(self, file: HubFile) -> Announced:
        """Size and checksum of a file. Raises NotAHub and the errors of huggingface_hub and httpx2."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        url = hf_hub_url(file.repository, file.name, revision=file.revision, endpoint=self.endpoint)
        answer = get_hf_file_metadata(url, timeout=self._patience.answer, headers=_headers())
        checksum = (answer.etag or "").lower()
        if answer.commit_hash is None or answer.size is None or not _CHECKSUM.fullmatch(checksum):
            raise NotAHub
        # The file of that commit, whatever the branch is moved to between two pieces of it.
        url = hf_hub_url(file.repository, file.name, revision=answer.commit_hash, endpoint=self.endpoint)
        return Announced(url, answer.size, checksum, answer.commit_hash)

    def open(self, url: str, position: int) -> Transfer:
        """The bytes of `url` from `position` on."""
        return Transfer(url, position, self._patience)


class Transfer:
    """One GET. Asked at the hub's own address each time: the one it redirects to is signed, and expires."""

    def __init__(self, url: str, position: int, patience: Patience) -> None:
        self._url = url
        self._position = position
        self._patience = patience
        self._socket: socket.socket | None = None

    def parts(self) -> Generator[Part, None, None]:
        """The parts as they come in. A hub that ignores the position begins at 0: see `Part.position`.

        Raises the errors of huggingface_hub and httpx2, also when the connection breaks before the end.
        """
        import httpx2
        from huggingface_hub import get_session
        from huggingface_hub.utils import hf_raise_for_status

        timeout = httpx2.Timeout(self._patience.stall, connect=self._patience.answer)
        # Redirected to another host, the session leaves the token out.
        headers = _headers() | {"Accept-Encoding": "identity"}
        if self._position:
            headers["Range"] = f"bytes={self._position}-"
        with get_session().stream("GET", self._url, headers=headers, timeout=timeout) as response:
            self._socket = response.extensions["network_stream"].get_extra_info("socket")
            hf_raise_for_status(response)
            position = _start(response.headers.get("Content-Range")) if response.status_code == 206 else 0
            for data in response.iter_bytes():
                yield Part(position, data)
                position += len(data)

    def interrupt(self) -> None:
        """Wakes a thread that waits for bytes: its read fails at once. Safe to call at any time."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # closed already
                # Not SSLSocket's own method, which takes the encryption away under a reader's feet.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _headers() -> dict[str, str]:
    """Who asks, with the stored login or $HF_TOKEN, unless the user switched that off."""
    from huggingface_hub.utils import build_hf_headers

    return build_hf_headers(library_name="mvdream-blender", library_version=__version__)


def _start(content_range: str | None) -> int:
    """Where "bytes 100-199/200" begins; 0 for anything that is not understood."""
    try:
        return int((content_range or "").removeprefix("bytes ").split("-")[0])
    except ValueError:
        return 0


def _host(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise UserError(
            f"{ENDPOINT_VARIABLE} must be the address of a hub, like https://huggingface.co;"
            f" {endpoint.rsplit('@', 1)[-1]!r} is none."
        )
    return host if port is None else f"{host}:{port}"


def _check_token() -> bool:
    """Whether there is a token. Raises UserError when it cannot be sent; never shows it."""
    from huggingface_hub import get_token

    token = get_token()
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise UserError(
            "The token for the hub (HF_TOKEN, or the one that is stored) has characters that no token"
            " has. Copy it again from https://huggingface.co/settings/tokens."
        )
    return bool(token)
