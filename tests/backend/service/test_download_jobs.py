# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that bring a model: from a hub on loopback through the running service to a model that is listed."""

import hashlib
import os
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_harness import Server, until

from backend.diffusion import installation
from backend.diffusion.catalogue import KNOWN
from backend.download_settings import DownloadSettings
from backend.downloading import DownloadProgress
from backend.errors import UserError
from backend.progress import Progress
from backend.service import admission, model_list
from tests.backend.hub.hub_server import HubServer, isolate

NAME = "mvdream-sd21"
ROOT = Path(__file__).resolve().parents[3]
TINY = (ROOT / "tests" / "data" / "goldens" / "tiny-v21.safetensors").read_bytes()
WORKER = (sys.executable, str(Path(__file__).with_name("download_worker.py")))
# What the catalogue says of the real file has no room on a small disk.
PRELUDE = f"""
import dataclasses
from backend.diffusion.catalogue import KNOWN
KNOWN["{NAME}"] = dataclasses.replace(KNOWN["{NAME}"], about_bytes={len(TINY)})
"""
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def hub() -> Iterator[HubServer]:
    server = HubServer({str(KNOWN[NAME].source): TINY})
    yield server
    server.close()


@pytest.fixture
def launch(hub: HubServer, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Starts services on one data folder and one models folder."""
    environment = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hub-home"),
        "NO_PROXY": "127.0.0.1",
        "HF_TOKEN": "",
        "HF_HUB_OFFLINE": "",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    started: list[Server] = []

    def start() -> Server:
        options = {"prelude": PRELUDE, "environment": environment, "worker_command": WORKER}
        started.append(Server(tmp_path / "data", tmp_path / "models", **options))
        return started[-1].wait_until_ready()

    yield start
    for server in started:
        server.end()


def ask(server: Server, kind: str = "download", **settings: Any) -> Any:
    return server.client.post("/v1/jobs", json={"kind": kind, "settings": settings})


def ended(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    """The job once it is over: converting imports torch, which takes long on a busy computer."""
    return until(lambda: (now := server.job(job["id"]))["status"] in ("done", "failed") and now, seconds=180)


def model(server: Server) -> dict[str, Any]:
    return next(each for each in server.client.get("/v1/models").json() if each["name"] == NAME)


def test_a_model_comes_is_stopped_goes_on_is_listed_and_goes(
    launch: Callable[[], Server], hub: HubServer, tmp_path: Path
) -> None:
    server = launch()
    assert model(server)["installed"] is False
    hub.manners.stall_at = [2_000_000]  # nothing more comes until it is cancelled
    job = ask(server, name=NAME).raise_for_status().json()
    assert (job["kind"], job["settings"]) == ("download", {"name": NAME, "half": False})
    running = until(lambda: (now := server.job(job["id"]))["message"].startswith("Downloading") and now)
    assert running["stage"] == "download"
    assert f"of {len(TINY) / 1e6:.1f} MB" in running["message"]
    assert 0 <= running["progress"] <= 0.85 * 2_000_000 / len(TINY)
    again = ask(server, name=NAME)
    assert (again.status_code, "is being downloaded already" in again.json()["detail"]) == (409, True)
    taken = server.client.delete(f"/v1/models/{NAME}")
    assert (taken.status_code, "cancel it" in taken.json()["detail"]) == (409, True)
    (partial,) = until(lambda: [*(tmp_path / "models").glob(".downloads/*/*.partial")])
    until(lambda: partial.stat().st_size == 2_000_000)

    cancelled = server.client.post(f"/v1/jobs/{job['id']}/cancel").json()
    assert cancelled["status"] == "cancelled"
    assert (model(server)["downloaded_bytes"], model(server)["removable"]) == (2_000_000, True)

    server.client.post(f"/v1/jobs/{job['id']}/resume").raise_for_status()
    done = ended(server, job)
    assert (done["status"], done["error"], done["progress"]) == ("done", None, 1.0)
    assert hub.ranges() == [None, "bytes=2000000-"]
    there = model(server)
    assert (there["installed"], there["removable"], there["licence"]) == (True, True, "OpenRAIL")
    assert there["downloaded_bytes"] == 0
    assert "is installed already" in ask(server, name=NAME).json()["detail"]
    assert "is installed already" in ask(server, name=NAME, half=True).json()["detail"]

    assert server.client.delete(f"/v1/models/{NAME}").status_code == 204
    assert model(server)["installed"] is False
    for unknown in (NAME, "unknown", "a.part", "%20"):
        answer = server.client.delete(f"/v1/models/{unknown}")
        assert (answer.status_code, "There is no model" in answer.json()["detail"]) == (404, True)
    shipped = server.client.delete("/v1/models/small")
    assert (shipped.status_code, "ships with the program" in shipped.json()["detail"]) == (422, True)
    assert "torch imported: False" in server.end()


def test_a_hub_that_fails_can_be_tried_again(launch: Callable[[], Server], hub: HubServer) -> None:
    server = launch()
    hub.manners.statuses = [503] * 3
    job = ask(server, name=NAME, half=True).raise_for_status().json()
    failed = ended(server, job)
    assert (failed["status"], failed["resumable"]) == ("failed", True)
    assert "has a fault of its own (503)" in failed["error"]
    hub.manners.checksum = hashlib.sha256(b"other").hexdigest()
    server.client.post(f"/v1/jobs/{job['id']}/resume").raise_for_status()
    assert "its checksum is not the announced" in ended(server, job)["error"]
    hub.manners.checksum = None
    server.client.post(f"/v1/jobs/{job['id']}/resume").raise_for_status()
    assert ended(server, job)["error"] is None
    assert model(server)["installed"]


def test_it_keeps_nothing_waiting_and_goes_on_with_the_next_service(
    launch: Callable[[], Server], hub: HubServer
) -> None:
    server = launch()
    hub.manners.stall_at = [1_000_000]
    job = ask(server, name=NAME).raise_for_status().json()
    until(lambda: server.job(job["id"])["message"].startswith("Downloading"))
    views = ask(server, "views", prompt="a red mug", model="small").raise_for_status().json()
    server.until_status(views["id"], "running")
    assert server.job(job["id"])["status"] == "running"
    server.client.post(f"/v1/jobs/{views['id']}/cancel").raise_for_status()
    server.end()
    second = launch()
    assert ended(second, job)["error"] is None
    assert len(hub.ranges()) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "small"}, "ships with the program. To download there are: mvdream-sd21, mvdream-sd15."),
        ({"name": "../../etc"}, "There is no model '../../etc' to download."),
        ({}, "name is missing."),
        ({"name": 5}, "name must be a text; 5 was given."),
        ({"name": "x" * 101}, "name is too long: 101 characters, 100 at most."),
        ({"name": NAME, "prompt": "a mug"}, "There is no setting 'prompt'. Settings: name, half."),
        ({"name": NAME, "half": "yes"}, "half"),
    ],
)
def test_what_cannot_be_downloaded_is_refused_in_a_sentence(
    server: Server, settings: dict[str, Any], said: str
) -> None:
    answer = ask(server, **settings)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_room_for_the_file_and_the_model_is_asked_for_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path / "not" / "yet"))
    free = 8_000_000_000
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 0, free))
    with pytest.raises(UserError, match=r"8\.00 GB free.*about 10\.40 GB: 5\.20 GB to download"):
        admission.admit(DownloadSettings(name=NAME), tmp_path)
    admission.admit(DownloadSettings(name=NAME, half=True), tmp_path)
    started = tmp_path / "not" / "yet" / ".downloads" / NAME
    started.mkdir(parents=True)
    with open(started / "0.partial", "wb") as file:
        file.truncate(2_500_000_000)  # takes no room
    admission.admit(DownloadSettings(name=NAME), tmp_path)


def test_a_file_in_the_hubs_cache_needs_no_room_for_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(monkeypatch, "http://127.0.0.1:9", tmp_path)
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**12, 0, 6_000_000_000))
    source = KNOWN[NAME].source
    assert source is not None
    home = tmp_path / "hub-cache" / f"models--{source.repository.replace('/', '--')}"
    for folder in ("blobs", "refs", "snapshots/abc"):
        (home / folder).mkdir(parents=True)
    (home / "refs" / "main").write_text("abc")
    blob = home / "blobs" / ("ab" * 32)
    (home / "snapshots" / "abc" / source.name).symlink_to(blob)
    with pytest.raises(UserError, match=r"6\.00 GB free.*variable MVDREAM_MODELS"):
        admission.admit(DownloadSettings(name=NAME), tmp_path)
    blob.touch()
    admission.admit(DownloadSettings(name=NAME), tmp_path)


def test_a_broken_model_is_to_be_removed_before_it_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path))
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "mvdream.json").write_text("{")
    with pytest.raises(UserError, match=r"broken: remove it first\. .*mvdream\.json is broken"):
        admission.admit(DownloadSettings(name=NAME), tmp_path)
    (entry,) = (each for each in model_list.listed() if each["name"] == NAME)
    assert (entry["installed"], entry["removable"], entry["licence"]) == (False, True, "OpenRAIL")
    assert "mvdream.json is broken" in entry["broken"]
    installation.remove(NAME)
    admission.admit(DownloadSettings(name=NAME), tmp_path)


def test_one_progress_over_all_parts_and_a_time_by_the_rate() -> None:
    now = [0.0]
    reports: list[Progress] = []
    tell = DownloadProgress(reports.append, clock=lambda: now[0])
    for now[0], message, done, total in [
        (0.0, "Asking the hub for x", 0, 0),
        (0.0, "Downloading x: ...", 200, 1000),
        (2.0, "Downloading x: ...", 400, 1000),
        (3.0, "the hub sends nothing, attempt 1 of 6: again in 1 s", 400, 1000),
        (4.0, "Downloading x: ...", 400, 1000),
        (6.0, "Downloading x: ...", 1000, 1000),
        (7.0, "Checking the download: ...", 500, 1000),
        (8.0, "Converting x", 0, 0),
        (9.0, "Converting (unet): ...", 250, 500),
    ]:
        tell(message, done, total)
    fractions = [report.fraction for report in reports]
    assert fractions == pytest.approx([0, 0.17, 0.34, 0.34, 0.34, 0.85, 0.875, 0.875, 0.95])
    # 200 bytes in 2 s leave 6 s for 600; after the break the rate is measured anew.
    left = [report.seconds_left for report in reports]
    assert left == [None, None, pytest.approx(6), None, None, 0, None, None, None]
    assert {report.stage for report in reports} == {"download"}
    assert reports[2].message == "Downloading x: ..."
