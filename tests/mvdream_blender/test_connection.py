# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a remote backend: its version, Blender's offline mode, and what is asked first."""

import pytest
from fake_backend import VERSION, FakeBackend

from mvdream_blender.backend_process import BackendProcess
from mvdream_blender.configuration import Configuration
from mvdream_blender.connection import Connection
from mvdream_blender.errors import MVDreamError, StaysOffline
from mvdream_blender.pending import PendingJob, PendingJobs, Place
from mvdream_blender.tasks import run


@pytest.fixture
def backend(tmp_path):
    server = FakeBackend(tmp_path / "jobs", "tok").start()
    yield server
    server.stop()


@pytest.fixture
def opened():
    """The clients that were told of."""
    return []


@pytest.fixture
def connection(backend, opened, tmp_path):
    def tell(client):
        opened.append(client)
        yield from client.models()

    configuration = Configuration(tmp_path, remote_url=backend.url, remote_token="tok")
    process = BackendProcess(tmp_path, tmp_path / "data", VERSION)
    return Connection(configuration, process, PendingJobs(tmp_path / "pending"), tell)


def test_what_was_discarded_is_deleted_before_the_client_is_handed_out(connection, backend, opened):
    connection.pending.discard(PendingJob("job7", "x", Place(), 1, backend.url))
    client = run(connection.open(), 10)
    assert opened == [client]
    asked = [f"{method} {path}" for method, path in backend.requests]
    assert asked == [
        "GET /v1/health",
        "POST /v1/jobs/job7/cancel",
        "DELETE /v1/jobs/job7",
        "GET /v1/models",
    ]
    assert connection.pending.discarded(backend.url) == []


def test_looking_for_it_asks_for_no_more_than_that(connection, backend, opened):
    assert run(connection.find(), 10).url == backend.url
    assert opened == []
    assert backend.requests == [("GET", "/v1/health")]


@pytest.mark.parametrize("way", ["open", "find"])
def test_a_remote_backend_of_another_version_is_refused_with_both_named(connection, backend, opened, way):
    backend.version = "9.8.7"
    with pytest.raises(MVDreamError, match=rf"is version 9\.8\.7.*add-on is version {VERSION}: up") as caught:
        run(getattr(connection, way)(), 10)
    assert caught.value.fix == "preferences"
    assert opened == []


def test_offline_no_other_machine_is_asked(connection, tmp_path):
    configuration = Configuration(tmp_path, remote_url="https://backend.example", remote_token="tok")
    away = Connection(configuration, connection.backend, connection.pending, connection.opened)
    with pytest.raises(StaysOffline, match=r"is at backend\.example, and Blender is set to stay offline"):
        run(away.open(), 10)
