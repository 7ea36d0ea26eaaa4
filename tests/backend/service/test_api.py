# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP interface of a really running service: what it answers, and what it refuses and in which words."""

import http.client
import json
import stat
from typing import Any

import httpx
import pytest
from service_harness import TOKEN, WORDS, Server


@pytest.fixture(scope="module")
def done(server: Server) -> dict[str, Any]:
    """A job that is done."""
    return server.until_status(server.submit("a mug")["id"], "done")


def test_health_models_and_presets(server: Server) -> None:
    assert server.client.get("/v1/health").json() == {"status": "ok", "version": "0.1.0", "jobs_running": 0}
    models = {model["name"]: model for model in server.client.get("/v1/models").json()}
    broken = models["broken"]
    assert (broken["installed"], broken["removable"], broken["words"]) == (False, True, None)
    assert "mvdream.json is broken" in broken["broken"]
    assert {model["broken"] for name, model in models.items() if name != "broken"} == {None}
    assert models["tiny"]["title"] == "Tiny"
    assert models["tiny"]["image_size"] == 64
    assert models["tiny"]["words"] == sorted(WORDS)
    assert [models[name]["installed"] for name in ("tiny", "small", "mvdream-sd21")] == [True, True, False]
    assert [models[name]["removable"] for name in ("tiny", "small", "mvdream-sd21")] == [True, False, False]
    absent = models["mvdream-sd15"]
    assert (absent["words"], absent["downloaded_bytes"], absent["licence"]) == (None, 0, "OpenRAIL")
    assert (absent["source"], absent["about_bytes"]) == ("MVDream/MVDream/sd-v1.5-4view.pt", 4_300_000_000)
    presets = server.client.get("/v1/presets").json()
    assert [preset["name"] for preset in presets] == ["draft", "standard", "paper", "paper-shaded"]
    assert all(preset["title"] and preset["description"] for preset in presets)


def test_service_file_is_private_and_complete(server: Server) -> None:
    path = server.data_dir / "service.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "url": f"http://127.0.0.1:{server.address['port']}",
        "port": server.address["port"],
        "pid": server.process.pid,
        "token": TOKEN,
        "version": "0.1.0",
    }


def test_a_job_from_submission_to_its_files(server: Server) -> None:
    job = server.submit("a red mug", seed=7)
    assert (job["kind"], job["status"], job["progress"]) == ("generate", "queued", 0.0)
    assert job["settings"] == {
        "prompt": "a red mug",
        "seed": 7,
        "model": "tiny",
        "preset": "standard",
        "device": "auto",
        "precision": "auto",
        "compile": False,
    }
    done = server.until_status(job["id"], "done", "failed")
    assert (done["status"], done["progress"], done["error"], done["seconds_left"]) == (
        "done",
        1.0,
        None,
        None,
    )
    assert done["files"] == ["mesh.glb", "preview.png"]
    assert (done["preview"], done["preview_count"]) == ("preview.png", 3)
    assert done["created"] <= done["started"] <= done["ended"]
    mesh = server.client.get(f"/v1/jobs/{job['id']}/files/mesh.glb")
    assert (mesh.content, mesh.headers["content-type"]) == (b"glTF", "model/gltf-binary")
    assert server.client.get(f"/v1/jobs/{job['id']}/files/preview.png").content == b"picture 3"
    assert server.client.get("/v1/jobs").json()["jobs"][0]["id"] == job["id"]


def test_jobs_are_listed_newest_first_and_limited(server: Server) -> None:
    ids = [server.submit("a mug")["id"] for _ in range(3)]
    for waiting in ids[1:]:
        server.client.post(f"/v1/jobs/{waiting}/cancel")
    listed = [job["id"] for job in server.client.get("/v1/jobs", params={"limit": 2}).json()["jobs"]]
    assert listed == ids[:0:-1]
    assert "limit must be" in server.client.get("/v1/jobs?limit=0").json()["detail"]


@pytest.mark.parametrize(
    "name", ["job.json", "worker.log", "secret.txt", "checkpoint.json", "none.png", ".", "%00"]
)
def test_only_listed_files_are_served(server: Server, done: dict[str, Any], name: str) -> None:
    answer = server.client.get(f"/v1/jobs/{done['id']}/files/{name}")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/{id}/files/../job.json",
        "/v1/jobs/{id}/files/..%2f..%2f..%2fservice.json",
        "/v1/jobs/{id}/files/%2e%2e%2fjob.json",
        "/v1/jobs/{id}/files/..%5cjob.json",
        "/v1/jobs/..%2f..%2f/files/service.json",
        "/v1/jobs/../../service.json",
        "//etc/passwd",
    ],
)
def test_paths_lead_nowhere_else(server: Server, done: dict[str, Any], path: str) -> None:
    # http.client sends the path as it is; httpx would tidy it up first.
    connection = http.client.HTTPConnection("127.0.0.1", server.address["port"], timeout=20)
    connection.request("GET", path.format(id=done["id"]), headers={"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    assert answer.status in (404, 405)
    assert TOKEN.encode() not in answer.read()


def test_a_linked_file_is_not_followed(server: Server, done: dict[str, Any]) -> None:
    picture = server.data_dir / "jobs" / done["id"] / "preview.png"
    picture.unlink()
    picture.symlink_to(server.data_dir / "service.json")
    assert server.client.get(f"/v1/jobs/{done['id']}/files/preview.png").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN}],
)
@pytest.mark.parametrize("path", ["/v1/health", "/v1/jobs", "/v1/openapi.json", "/nowhere"])
def test_no_token_no_answer(server: Server, headers: dict[str, str], path: str) -> None:
    answer = httpx.get(server.address["url"] + path, headers=headers)
    assert answer.status_code == 401
    assert "token" in answer.json()["detail"]
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("evil.example", 400),
        ("127.0.0.1.evil.example:80", 400),
        ("", 400),
        ("127.0.0.1@evil.example", 400),
        ("localhost:1234", 200),
        ("[::1]:80", 200),
    ],
)
def test_the_host_must_be_this_machine(server: Server, host: str, code: int) -> None:
    assert server.client.get("/v1/health", headers={"Host": host}).status_code == code


def test_unknown_jobs_addresses_and_methods(server: Server) -> None:
    for method, path in [
        ("GET", "/v1/jobs/0123"),
        ("DELETE", "/v1/jobs/0123"),
        ("POST", "/v1/jobs/0123/cancel"),
        ("POST", "/v1/jobs/0123/resume"),
        ("GET", "/v1/jobs/0123/files/mesh.glb"),
        ("GET", "/v2/health"),
    ]:
        answer = server.client.request(method, path)
        assert answer.status_code == 404, path
        assert answer.json()["detail"].startswith("There is no")
    answer = server.client.put("/v1/jobs")
    assert (answer.status_code, isinstance(answer.json()["detail"], str)) == (405, True)


def test_what_cannot_be_done_to_a_job_now(server: Server, done: dict[str, Any]) -> None:
    for action in ("cancel", "resume"):
        answer = server.client.post(f"/v1/jobs/{done['id']}/{action}")
        assert (answer.status_code, "done" in answer.json()["detail"]) == (409, True)
    running = server.submit("endless")["id"]
    server.until_step(running, 1)
    assert server.client.post(f"/v1/jobs/{running}/resume").status_code == 409
    assert "cancel it" in server.client.delete(f"/v1/jobs/{running}").json()["detail"]
    assert server.client.get("/v1/health").json()["jobs_running"] == 1
    waiting = server.submit("a mug")["id"]
    assert server.job(waiting)["status"] == "queued"
    assert server.client.post(f"/v1/jobs/{waiting}/cancel").json()["status"] == "cancelled"
    assert server.client.post(f"/v1/jobs/{running}/cancel").json()["status"] == "cancelled"
    assert server.client.post(f"/v1/jobs/{running}/cancel").json()["status"] == "cancelled"
    assert server.client.delete(f"/v1/jobs/{running}").status_code == 204
    assert server.client.get(f"/v1/jobs/{running}").status_code == 404
    assert not (server.data_dir / "jobs" / running).exists()


def test_the_schema_can_be_read(server: Server) -> None:
    schema = server.client.get("/v1/openapi.json").json()
    assert "GenerateSettings" in schema["components"]["schemas"]
    assert "/v1/jobs/{job_id}/cancel" in schema["paths"]


def test_views_are_a_job_with_a_picture(server: Server) -> None:
    body = {"kind": "views", "settings": {"prompt": "a red mug", "model": "tiny", "count": 2}}
    job = server.client.post("/v1/jobs", json=body).raise_for_status().json()
    assert (job["kind"], job["status"], job["settings"]["count"]) == ("views", "queued", 2)
    done = server.until_status(job["id"], "done", "failed")
    assert (done["status"], done["error"]) == ("done", None)
    assert (done["files"], done["preview"], done["preview_count"]) == (["views.png"], "views.png", 2)


def test_views_can_be_cancelled_and_begun_again(server: Server) -> None:
    body = {"kind": "views", "settings": {"prompt": "a endless mug", "model": "tiny"}}
    job = server.client.post("/v1/jobs", json=body).raise_for_status().json()
    server.until_step(job["id"], 2)
    assert server.client.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelled"
    assert server.client.post(f"/v1/jobs/{job['id']}/resume").json()["status"] == "queued"
    server.until_status(job["id"], "running")
    server.client.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
