# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the service on a data folder, says where it listens, and clears up behind it."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from backend import __version__
from backend.errors import UserError
from backend.service.app import Service, create_app
from backend.service.files import write_json
from backend.service.locks import FileLock
from backend.service.security import TOKEN_VARIABLE, choose_token
from backend.service.store import JobStore
from backend.service.supervisor import WORKER_COMMAND, Supervisor

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
SERVICE_FILE = "service.json"


def serve(
    data_dir: Path,
    port: int = 0,
    exit_when_idle: float | None = None,
    worker_command: Sequence[str] = WORKER_COMMAND,
    discard: Sequence[str] = (),
    spare: bool = False,
) -> None:
    """Serves until SIGTERM, SIGINT, a shutdown request, or `exit_when_idle` seconds without work.

    Jobs with an id in `discard` are deleted first, so that none of them goes on. With `spare` a worker is
    started before there is a job for it (see `backend.service.spare`).

    Raises:
        UserError: the folder is not writable or has a service already; the port is taken; a bad token.
    """
    if exit_when_idle is not None and not exit_when_idle > 0:
        raise UserError(f"--exit-when-idle must be more than 0 seconds; {exit_when_idle:g} was given.")
    folder = _prepare(data_dir)
    token = choose_token(os.environ.pop(TOKEN_VARIABLE, None))
    lock = FileLock(folder / "service.lock")
    if not lock.acquire():
        raise UserError(_occupied(folder))
    try:
        with contextlib.closing(_listen(port)) as listener:
            asyncio.run(_serve(folder, token, listener, exit_when_idle, worker_command, discard, spare))
    finally:
        lock.release()


async def _serve(
    folder: Path,
    token: str,
    listener: socket.socket,
    exit_when_idle: float | None,
    worker_command: Sequence[str],
    discard: Sequence[str],
    spare: bool,
) -> None:
    port = listener.getsockname()[1]
    address = {"url": f"http://{HOST}:{port}", "port": port, "pid": os.getpid(), "token": token}
    service_file = folder / SERVICE_FILE

    def announce() -> None:
        write_json(service_file, address | {"version": __version__}, private=True)
        log.info("Listening on %s; the token is in %s", address["url"], service_file)

    with contextlib.closing(JobStore(folder / "jobs.sqlite")) as store:
        supervisor = Supervisor(store, folder / "jobs", worker_command, spare=spare)
        downloader = Supervisor(store, folder / "jobs", worker_command, downloads=True)
        supervisor.discard(discard)
        if waiting := store.recover():
            log.info("%d interrupted job(s) will be continued", waiting)
        idle = _Idle(exit_when_idle, store.has_work)
        service = Service(store, supervisor, downloader, folder, shut_down=lambda: server.stop())
        config = uvicorn.Config(
            create_app(service, token, idle.touch),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=3,
            server_header=False,
        )
        server = _Server(config, announce)
        tasks = [
            asyncio.create_task(work)
            for work in (idle.watch(server.stop), supervisor.run(), downloader.run())
        ]
        try:
            await server.serve(sockets=[listener])
        finally:
            service_file.unlink(missing_ok=True)
            tasks[0].cancel()
            await asyncio.gather(supervisor.stop(), downloader.stop())
            await asyncio.gather(*tasks, return_exceptions=True)


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, and that signals only end: its caller has to clear up afterwards."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    def stop(self) -> None:
        """Ends `serve` soon."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Announces the address once requests are answered."""
        await super().startup(sockets)
        self._on_listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's, but does not raise the signal again when it is done."""
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Idle:
    """Knows for how long nobody asked and nothing worked."""

    def __init__(self, seconds: float | None, busy: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._busy = busy
        self._last = time.monotonic()

    def touch(self) -> None:
        self._last = time.monotonic()

    async def watch(self, stop: Callable[[], None]) -> None:
        if self._seconds is None:
            return
        while time.monotonic() - self._last < self._seconds:
            await asyncio.sleep(min(1.0, self._seconds / 4))
            try:
                busy = self._busy()
            except sqlite3.Error:
                log.exception("Whether there is work cannot be read")
                busy = True
            if busy:
                self.touch()
        log.info("Nothing to do for %g s: ending", self._seconds)
        stop()


def _prepare(data_dir: Path) -> Path:
    folder = data_dir.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "jobs").mkdir(exist_ok=True)
        probe = folder / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"The data folder {folder} is not writable ({error.strerror}). "
            "Change its permissions, or choose another one with --data-dir."
        ) from None
    return folder


def _occupied(folder: Path) -> str:
    where = ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        address = json.loads((folder / SERVICE_FILE).read_text(encoding="utf-8"))
        where = f" (process {address['pid']}, {address['url']})"
    return f"Another service works on {folder}{where}. Use it, stop it, or choose another --data-dir."


def _listen(port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UserError(f"--port must be between 0 and 65535; {port} was given.")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        # On Windows this option would let two services share a port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UserError(
            f"Port {port} cannot be used ({error.strerror}). Choose another --port; 0 finds a free one."
        ) from None
    return listener
