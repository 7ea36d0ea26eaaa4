# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's HTTP interface as steps of a task: never blocks, no threads. Never imports bpy.

job = run(client.submit({"prompt": "a red mug"}))           # in a script
job = yield from client.submit({"prompt": "a red mug"})     # in a task pumped by a timer
"""

import json
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from .errors import MVDreamError, Refused, Unreachable
from .exchange import Exchange, Response
from .models import Model, parse
from .resolver import is_loopback
from .tasks import Steps

Json = dict[str, Any]


def parse_url(url: str) -> SplitResult:
    """The checked address of a backend.

    Raises:
        MVDreamError: not http(s), no host, a bad port, or http to another machine, which anyone could read.
    """
    try:
        parts = urlsplit(url.strip().rstrip("/"))
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_fits = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        raise MVDreamError(
            f"The backend's URL {url!r} is not an address such as http://127.0.0.1:8000.", fix="preferences"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise MVDreamError("The backend's URL takes no user name, query or fragment.", fix="preferences")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise MVDreamError(
            f"http would send the token to {parts.hostname} readable for everyone on the way: use https, or "
            f"a tunnel (ssh -L 8000:127.0.0.1:PORT {parts.hostname}) and http://127.0.0.1:8000.",
            fix="preferences",
        )
    return parts


class Client:
    """Talks to one backend. Every method is a generator of steps; see `tasks`.

    All of them raise Unreachable where no answer comes, and Refused with the backend's own sentence where it
    says no.
    """

    def __init__(self, url: str, token: str, timeout: float = 20.0) -> None:
        """
        Args:
            timeout: seconds without a byte after which the backend counts as gone.

        Raises:
            MVDreamError: the URL or the token is none.
        """
        self.url = url
        self._address = parse_url(url)
        if not token.isascii() or not token.isprintable():
            raise MVDreamError("The backend's token holds characters that no token has.", fix="preferences")
        self._token = token.strip()
        self._timeout = timeout

    def health(self) -> Steps[Json]:
        """{"status": "ok", "version": str, "jobs_running": int}"""
        return (yield from self._json("GET", "/v1/health"))

    def models(self) -> Steps[tuple[Model, ...]]:
        """All models, there or not."""
        answer = yield from self._json("GET", "/v1/models")
        try:
            return parse(answer)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Unreachable(f"What answers at {self.url} has no list of models.") from None

    def remove_model(self, name: str) -> Steps[None]:
        """Remove a model, or what is there of its download."""
        yield from self._call("DELETE", f"/v1/models/{quote(name, safe='')}")

    def submit(self, settings: Json, kind: str = "generate") -> Steps[Json]:
        """Queue a job; returns it."""
        return (yield from self._json("POST", "/v1/jobs", {"kind": kind, "settings": settings}))

    def jobs(self) -> Steps[list[Json]]:
        """All jobs, newest first."""
        return (yield from self._json("GET", "/v1/jobs"))["jobs"]

    def job(self, identifier: str) -> Steps[Json]:
        """One job as it stands now."""
        return (yield from self._json("GET", _job_path(identifier)))

    def cancel(self, identifier: str) -> Steps[Json]:
        """Stop a job; returns it."""
        return (yield from self._json("POST", _job_path(identifier) + "/cancel"))

    def resume(self, identifier: str) -> Steps[Json]:
        """Go on with a stopped or failed job from its checkpoint; returns it."""
        return (yield from self._json("POST", _job_path(identifier) + "/resume"))

    def delete(self, identifier: str) -> Steps[None]:
        """Forget a job and its files."""
        yield from self._call("DELETE", _job_path(identifier))

    def shutdown(self) -> Steps[None]:
        """Ask the backend to end; a running job goes on at its next start."""
        yield from self._call("POST", "/v1/shutdown")

    def file(self, identifier: str, name: str) -> Steps[bytes]:
        """The bytes of one of the job's files."""
        response = yield from self._call("GET", f"{_job_path(identifier)}/files/{quote(name, safe='')}")
        return response.body

    def _json(self, method: str, path: str, body: Json | None = None) -> Steps[Any]:
        response = yield from self._call(method, path, body)
        try:
            return json.loads(response.body)
        except ValueError:
            raise Unreachable(f"What answers at {self.url} is not MVDream's backend.") from None

    def _call(self, method: str, path: str, body: Json | None = None) -> Steps[Response]:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "*/*"}
        content = b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        target = quote(self._address.path) + path
        exchange = Exchange(self._address, method, target, headers, content, self._timeout)
        try:
            yield exchange
            response = exchange.result()
        finally:
            exchange.close()
        if response.status >= 300:
            raise _refusal(response, self.url)
        return response


def _job_path(identifier: str) -> str:
    return f"/v1/jobs/{quote(identifier, safe='')}"


def _refusal(response: Response, url: str) -> Refused:
    """The backend's `detail` sentence, or one that says what the status means."""
    if response.status == 401:
        return Refused(f"The backend at {url} does not accept the token.", 401, fix="preferences")
    try:
        detail = json.loads(response.body)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = None
    if isinstance(detail, str) and detail:
        return Refused(detail, response.status)
    return Refused(f"The backend at {url} answered with the error {response.status}.", response.status)
