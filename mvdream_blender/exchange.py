# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request and its answer on a non-blocking socket. Never imports bpy.

Each `poll` goes through the phases (resolve, connect, TLS, send, receive) as far as the network allows. The
request asks the server to close the connection, so the answer ends where the stream ends, and the standard
library parses it.
"""

import http.client
import io
import os
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult

from .errors import MVDreamError, Unreachable
from .resolver import Resolver

CHUNK = 1 << 18
SLICE_SECONDS = 0.01
LARGEST_ANSWER = 1 << 29


class Response:
    """Status and body of an answer."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


class _Buffer:
    """What http.client wants of a socket: something to read from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


class Exchange:
    """A request under way. `poll` never raises and never blocks; `result` gives the answer or raises."""

    def __init__(
        self,
        url: SplitResult,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout: float = 20.0,
    ) -> None:
        """
        Args:
            url: where the server is: scheme http or https, host, port.
            target: absolute path of the request, percent-encoded.
            timeout: seconds without a byte after which the server counts as gone.
        """
        self._host = url.hostname or ""
        self._secure = url.scheme == "https"
        port = url.port or (443 if self._secure else 80)
        self._name = f"{url.scheme}://{url.netloc}"
        self._method = method
        self._outgoing = memoryview(_request(method, target, url.netloc, headers, body))
        self._incoming = bytearray()
        self._timeout = timeout
        self._last_sign = time.monotonic()
        self._error: MVDreamError | None = None
        self._response: Response | None = None
        self._socket: socket.socket | None = None
        self._selector: selectors.BaseSelector | None = None
        self._resolver = Resolver(self._host, port)
        self._phase: Callable[[], bool] | None = self._resolve

    def poll(self) -> bool:
        until = time.monotonic() + SLICE_SECONDS
        try:
            while self._phase is not None and self._phase():
                self._last_sign = time.monotonic()
                if self._last_sign > until and self._phase is not None:
                    return False
        except (ssl.SSLError, OSError, http.client.HTTPException) as error:
            self._fail(f"The connection to the backend at {self._name} failed: {_reason(error)}.")
        if self._phase is not None and time.monotonic() - self._last_sign > self._timeout:
            self._fail(f"The backend at {self._name} has not answered for {self._timeout:g} seconds.")
        return self._phase is None

    def result(self) -> Response:
        """The answer, whatever its status.

        Raises:
            Unreachable: there is none.
        """
        if self._error is not None:
            raise self._error
        if self._response is None:
            raise RuntimeError("the exchange is not done")
        return self._response

    def close(self) -> None:
        self._phase = None
        self._resolver.close()
        if self._selector is not None:
            self._selector.close()
            self._selector = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _fail(self, message: str) -> None:
        self._error = Unreachable(message)
        self.close()

    # Each phase returns True where it made progress, False where it has to wait.

    def _resolve(self) -> bool:
        if not self._resolver.poll():
            return False
        if not self._resolver.addresses:
            self._fail(
                f"There is no machine named {self._host!r}: check the backend's URL in the preferences."
            )
            return False
        family, address = self._resolver.addresses.pop(0)
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.connect_ex(address)
        self._watch(selectors.EVENT_WRITE)
        self._phase = self._connect
        return True

    def _connect(self) -> bool:
        if not self._ready():
            return False
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code and self._resolver.addresses:
            self._socket.close()
            self._phase = self._resolve
            return True
        if code:
            raise OSError(code, os.strerror(code))
        if self._secure:
            context = ssl.create_default_context()
            self._socket = context.wrap_socket(
                self._socket, server_hostname=self._host, do_handshake_on_connect=False
            )
        self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)
        self._phase = self._handshake if self._secure else self._send
        return True

    def _handshake(self) -> bool:
        assert isinstance(self._socket, ssl.SSLSocket)
        try:
            self._socket.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        self._phase = self._send
        return True

    def _send(self) -> bool:
        assert self._socket is not None
        try:
            sent = self._socket.send(self._outgoing[:CHUNK])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        self._outgoing = self._outgoing[sent:]
        if not self._outgoing:
            self._phase = self._receive
        return True

    def _receive(self) -> bool:
        assert self._socket is not None
        try:
            data = self._socket.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except ssl.SSLEOFError:
            data = b""  # some servers leave out TLS's goodbye; whether all is there the parser knows
        self._incoming += data
        if len(self._incoming) > LARGEST_ANSWER:
            self._fail(
                f"The answer of the backend at {self._name} is larger than {LARGEST_ANSWER >> 20} MiB."
            )
        elif not data:
            self._response = _parse(bytes(self._incoming), self._method)
            self.close()
        return True

    def _watch(self, events: int) -> None:
        if self._selector is not None:
            self._selector.close()
        assert self._socket is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, events)

    def _ready(self) -> bool:
        return self._selector is not None and bool(self._selector.select(0))


def _request(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        "Connection: close",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _parse(data: bytes, method: str) -> Response:
    if not data:
        raise ConnectionResetError("it was closed without an answer")
    answer = http.client.HTTPResponse(_Buffer(data), method=method)  # type: ignore[arg-type]
    answer.begin()
    return Response(answer.status, answer.read())


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, http.client.IncompleteRead):
        return "it broke in the middle of an answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
