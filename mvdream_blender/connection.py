# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to the backend that the preferences name, and what is done there first. Never imports bpy."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from .backend_process import BackendProcess
from .client import Client, parse_url
from .configuration import PYTHON_VARIABLE, Configuration
from .errors import LacksPackages, MVDreamError, Refused, StaysOffline, Unreachable
from .pending import PendingJobs
from .resolver import is_loopback
from .tasks import Steps

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Connection:
    """Opens, ends and tidies; made anew whenever the preferences may have changed.

    Attributes:
        opened: what is done first with every client, before it is handed out.
    """

    configuration: Configuration
    backend: BackendProcess
    pending: PendingJobs
    opened: Callable[[Client], Steps[None]]

    def open(self, restart: bool = False) -> Steps[Client]:
        """The client of the backend that the preferences name, started where it is local and not there.

        Args:
            restart: end the local one first.

        Raises:
            MVDreamError: not installed, offline, unreachable, of another version, or busy for another
                Blender.
        """
        client = yield from (self._remote() if self.configuration.remote_url else self._local(restart))
        yield from self._settle(client)
        yield from self.opened(client)
        return client

    def _remote(self) -> Steps[Client]:
        configuration = self.configuration
        host = parse_url(configuration.remote_url).hostname or ""
        if not configuration.online and not is_loopback(host):
            raise StaysOffline(f"The backend is at {host}")
        client = Client(configuration.remote_url, configuration.remote_token)
        found = str((yield from client.health()).get("version"))
        if found != self.backend.version:
            raise MVDreamError(
                f"The backend at {configuration.remote_url} is version {found[:40]}, and this add-on is "
                f"version {self.backend.version}: update the older of the two.",
                fix="preferences",
            )
        return client

    def _local(self, restart: bool) -> Steps[Client]:
        python = self.configuration.backend_python()
        if python is None:
            raise MVDreamError(
                "The backend is not installed yet: press Install Backend, "
                "or call bpy.ops.mvdream.install_backend().",
                fix="install",
            )
        if restart:
            yield from self.end_backend()
        try:
            return (yield from self.backend.connect(python, self.pending.discarded()))
        except LacksPackages as error:
            if not self.configuration.python:
                raise
            # An installation would go into the add-on's own environment, which is not used.
            raise MVDreamError(
                f"{error.what} It is the one that the add-on's preference Python or the variable "
                f"{PYTHON_VARIABLE} names: install requirements/backend.txt into it, or empty both to use "
                f"the add-on's own environment.\n{error.tail}",
                fix="preferences",
            ) from None

    def find(self) -> Steps[Client | None]:
        """The client of the backend that the preferences name where it runs; a local one is not started.

        Raises:
            MVDreamError: the remote one can't be reached, or is of another version.
        """
        if self.configuration.remote_url:
            return (yield from self._remote())
        return (yield from self.backend.find())

    def end_backend(self) -> Steps[None]:
        """End the local backend, whoever started it.

        Raises:
            MVDreamError: a job of another Blender is under way there.
        """
        own = {pending.id for pending in self.pending.orphans() if not pending.backend}
        own.update(self.pending.discarded())
        yield from self.backend.end(lambda identifier: identifier in own)

    def discard(self) -> Steps[None]:
        """Where nothing answers nothing is started: the next connection settles what is noted."""
        try:
            client = yield from self.find()
            if client is not None:
                yield from self._settle(client)
        except MVDreamError as error:
            log.info("To be deleted at the next connection: %s", error)

    def _settle(self, client: Client) -> Steps[None]:
        """Have the backend delete the jobs that were discarded; what fails is tried again another time."""
        for identifier in self.pending.discarded(self.configuration.remote_url):
            try:
                yield from _delete(client, identifier)
            except (Unreachable, Refused) as error:
                log.info("Job %s can't be deleted now: %s", identifier, error)
            else:
                self.pending.settle(identifier)


def _delete(client: Client, identifier: str) -> Steps[None]:
    """Stop and delete a job; one that the backend does not know is fine."""
    try:
        yield from client.cancel(identifier)
    except Refused as error:
        log.info("Nothing to cancel: %s", error)
    try:
        yield from client.delete(identifier)
    except Refused as error:
        if error.status != 404:
            raise
