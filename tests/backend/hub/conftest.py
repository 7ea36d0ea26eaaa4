# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub on loopback in the place of the real one, and a computer that has never seen one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backend.hub.hub_server import CONTENT, FILE, HubServer, isolate


@pytest.fixture
def new_hub() -> Iterator[Callable[[], HubServer]]:
    """Makes servers that serve FILE, and closes them."""
    servers: list[HubServer] = []

    def make() -> HubServer:
        servers.append(HubServer({str(FILE): CONTENT}))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def hub(new_hub: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The hub that the environment names; no login, no cache, not offline."""
    server = new_hub()
    isolate(monkeypatch, server.url, tmp_path)
    return server
