# SPDX-License-Identifier: GPL-3.0-or-later
"""What every request must pass before the application sees it: host, token, size.

The service listens on loopback only, but any web page the user visits can send requests there. The Host check
stops a page whose name was rebound to 127.0.0.1; the token stops all who cannot read the user's service.json.
"""

import hmac
import json
import re
import secrets
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.errors import UserError

MAX_BODY = 64 * 1024
MAX_THROWN_AWAY = 16 * 1024 * 1024
TOKEN_VARIABLE = "MVDREAM_TOKEN"
_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")


def choose_token(given: str | None) -> str:
    """The token to demand: `given` (from the environment) or, without one, a new random one.

    Raises:
        UserError: `given` is too short or has characters a header cannot carry.
    """
    if not given:
        return secrets.token_urlsafe(32)
    if not _TOKEN.fullmatch(given):
        raise UserError(
            f"{TOKEN_VARIABLE} must have 16 to 512 characters out of letters, digits and ._~+/=-; "
            "leave it unset to get a random one."
        )
    return given


class Gate:
    """ASGI middleware that answers 400, 401 or 413 itself, and hands on complete, small bodies.

    Args:
        application: what to guard.
        token: the bearer token every request must carry.
        on_request: called for every request that passed (it keeps an idle service awake).
    """

    def __init__(
        self, application: ASGIApp, token: str, on_request: Callable[[], None] = lambda: None
    ) -> None:
        self._application = application
        self._expected = f"Bearer {token}".encode("ascii")
        self._on_request = on_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here; uvicorn answers a handshake nobody accepts with 403
        headers = dict(scope["headers"])
        body = await _read(receive)
        if not _HOST.fullmatch(headers.get(b"host", b"").decode("latin-1")):
            await _refuse(send, 400, "This service answers only to 127.0.0.1 and localhost.")
        elif not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
            await _refuse(send, 401, "The token is missing or wrong; the right one is in service.json.")
        elif body is None:
            await _refuse(send, 413, f"The request is too large: at most {MAX_BODY // 1024} KiB are read.")
        else:
            self._on_request()
            await self._application(_as_json(scope), _replay(body, receive), send)


def _as_json(scope: Scope) -> Scope:
    """The request with its body declared as what it is: JSON, the only kind of body there is here.

    curl declares a form unless it is told. To insist on the type would protect those alone who let browsers
    send a login by themselves; the token is in a header that no other site's page can set.
    """
    others = [(name, value) for name, value in scope["headers"] if name.lower() != b"content-type"]
    return {**scope, "headers": [*others, (b"content-type", b"application/json")]}


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None when it is larger than allowed, whatever Content-Length says.

    A body that is too large is read on for a while and thrown away: a client that is still sending would see
    a broken connection instead of the answer.
    """
    body = b""
    total = 0
    while total <= MAX_THROWN_AWAY:
        message = await receive()
        chunk = message.get("body", b"")
        total += len(chunk)
        if total <= MAX_BODY:
            body += chunk
        if not message.get("more_body", False):
            break
    return body if total <= MAX_BODY else None


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


async def _refuse(send: Send, status: int, detail: str) -> None:
    content = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    # The rest of a very large body may still be under way: the connection cannot be used again.
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
