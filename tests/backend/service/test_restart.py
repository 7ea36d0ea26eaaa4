# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of the server process: killed and started again, a second one, idle, stopped."""

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from service_harness import Server, alive, until

Start = Callable[..., Server]


def test_a_killed_servers_job_goes_on_from_its_checkpoint(start: Start) -> None:
    first = start().wait_until_ready()
    job = first.submit("endless")["id"]
    waiting = first.submit("a mug")["id"]
    first.until_step(job, 3)
    folder = first.data_dir / "jobs" / job
    worker = json.loads((folder / "pid.json").read_text())
    first.process.kill()
    first.process.wait()
    assert (first.data_dir / "service.json").exists()

    second = start().wait_until_ready()
    until(lambda: not alive(worker))  # the old worker noticed by itself
    until(
        lambda: (
            second.job(job)["message"].startswith("from")
            and json.loads((folder / "pid.json").read_text()) != worker
        )
    )
    continued = json.loads((folder / "started_at.json").read_text())
    assert continued >= 3
    until(lambda: second.job(job)["step"] > continued)
    assert second.job(job)["message"] == f"from {continued}"
    assert second.client.post(f"/v1/jobs/{job}/cancel").json()["status"] == "cancelled"
    assert second.until_status(waiting, "done", "failed")["status"] == "done"


def test_a_discarded_job_never_goes_on(start: Start) -> None:
    first = start().wait_until_ready()
    job = first.submit("endless")["id"]
    waiting = first.submit("a mug")["id"]
    first.until_step(job, 1)
    started_at = first.data_dir / "jobs" / job / "started_at.json"
    first.process.kill()
    first.process.wait()
    until(lambda: not alive(json.loads(started_at.with_name("pid.json").read_text())))

    second = start(discard=[job, "../../nothing"]).wait_until_ready()
    assert second.until_status(waiting, "done")["status"] == "done"
    assert second.client.get(f"/v1/jobs/{job}").status_code == 404
    assert not started_at.parent.exists()


def test_a_stubborn_orphan_is_gone_before_its_successor_starts(start: Start) -> None:
    first = start().wait_until_ready()
    job = first.submit("stubborn")["id"]
    until(lambda: first.job(job)["message"] == "Ignoring you")
    orphan_child = json.loads((first.data_dir / "jobs" / job / "child.json").read_text())
    first.process.kill()
    first.process.wait()
    second = start().wait_until_ready()
    until(lambda: json.loads((first.data_dir / "jobs" / job / "child.json").read_text()) != orphan_child)
    assert not alive(orphan_child)
    second.client.post(f"/v1/jobs/{job}/cancel")


def test_two_servers_on_one_folder(start: Start) -> None:
    first = start().wait_until_ready()
    second = start()
    said = second.process.communicate(timeout=20)[0]
    assert second.process.returncode != 0
    assert "UserError: Another service works on" in said
    assert str(first.process.pid) in said
    assert first.address["url"] in said
    assert first.client.get("/v1/health").status_code == 200
    assert json.loads((first.data_dir / "service.json").read_text())["pid"] == first.process.pid


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "request"])
def test_a_stopped_server_clears_up_and_never_imported_torch(start: Start, how: str) -> None:
    server = start().wait_until_ready()
    job = server.submit("endless")["id"]
    server.until_step(job, 1)
    worker = json.loads((server.data_dir / "jobs" / job / "pid.json").read_text())
    if how == "request":
        assert server.client.post("/v1/shutdown").status_code == 202
    else:
        server.process.send_signal(signal.Signals[how])
    said = server.process.communicate(timeout=20)[0]
    assert server.process.returncode == 0, said
    assert "torch imported: False" in said
    assert not (server.data_dir / "service.json").exists()
    assert not alive(worker)


def test_an_idle_server_ends_but_not_before_its_job(start: Start) -> None:
    server = start(exit_when_idle=0.5).wait_until_ready()
    job = server.submit("a mug")["id"]
    assert server.process.wait(timeout=20) == 0
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):
        client.get(server.address["url"])
    again = start().wait_until_ready()
    assert again.job(job)["status"] == "done"


def test_a_taken_port_is_named(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = start(port=port).process.communicate(timeout=20)[0]
    assert f"UserError: Port {port} cannot be used" in said


def test_a_data_folder_that_cannot_be_written(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = start(data_dir=tmp_path / "file" / "data").process.communicate(timeout=20)[0]
    assert "UserError: The data folder" in said
    assert "--data-dir" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_data_folder(start: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    assert "is not writable" in start().process.communicate(timeout=20)[0]
