# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of requests: what is read, and which sentence refuses the rest."""

import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from service_harness import TOKEN, Server


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"prompt": "  "}, ["prompt is empty"]),
        ({}, ["prompt is missing"]),
        ({"prompt": "a mug", "preset": "best"}, ["'best'", "draft, standard"]),
        ({"prompt": "a mug", "model": "huge"}, ["no model 'huge'", "tiny"]),
        ({"prompt": "a mug", "model": "tiny/../tiny"}, ["no model"]),
        ({"prompt": "a mug", "model": "/"}, ["/", "mvdream.json is missing"]),
        ({"prompt": "a mug", "model": "/nowhere/at/all"}, ["/nowhere/at/all"]),
        ({"prompt": "a mug", "model": "/" + "x" * 400}, ["cannot be read"]),
        ({"prompt": "a mug", "model": "~nobodyatall/m"}, ["cannot be read"]),
        ({"prompt": "a mug", "model": "broken"}, ["broken", "mvdream.json"]),
        ({"prompt": "a blue mug"}, ["'blue'", "red", "mug"]),
        ({"prompt": "a mug", "negative_prompt": "ugly"}, ["'ugly'", "red"]),
        ({"prompt": "a mug", "steps": 1}, ["steps must be between"]),
        ({"prompt": "a mug", "colour": "red"}, ["no setting 'colour'"]),
        *([] if sys.platform == "darwin" else [({"prompt": "a mug", "device": "mps"}, ["'mps'", "'cpu'"])]),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(server: Server, settings: dict, parts: list[str]) -> None:
    before = server.client.get("/v1/jobs?limit=1000").json()
    body = {"kind": "generate", "settings": {"model": "tiny"} | settings}
    answer = server.client.post("/v1/jobs", json=body)
    detail = answer.json()["detail"]
    assert answer.status_code == 422, detail
    assert all(part in detail for part in parts), detail
    assert server.client.get("/v1/jobs?limit=1000").json() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"generate"',
        b"\xff\xfe\x00",
        b"[" * 5000,
        b'{"kind":"generate"}',
        b'{"kind":"generate","settings":[]}',
        b'{"kind":"generate","settings":{"prompt":{"$ne":1}}}',
        b'{"kind":"generate","settings":{"prompt":"a mug","steps":1e999}}',
        b'{"kind":"generate","settings":{"prompt":"a mug","guidance_scale":NaN}}',
        b'{"kind":"generate","settings":{"prompt":"a mug","seed":' + b"9" * 5000 + b"}}",
        b'{"kind":"generate","settings":{"prompt":"\\ud800"}}',
        b'{"kind":"format c:","settings":{"prompt":"a mug"}}',
        b'{"kind":"generate","settings":{"prompt":"a mug"},"worker_command":["sh"]}',
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_malformed_bodies_get_a_sentence(server: Server, body: bytes, content_type: str) -> None:
    answer = server.client.post("/v1/jobs", content=body, headers={"Content-Type": content_type})
    assert answer.status_code in (400, 422), answer.text
    detail = answer.json()["detail"]
    assert isinstance(detail, str)
    assert 10 < len(detail) < 1000


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_is_json_whatever_it_is_declared_as(server: Server, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    content = b'{"kind": "views", "settings": {"prompt": "a red mug", "model": "tiny"}}'
    answer = server.client.post("/v1/jobs", content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    server.until_status(answer.json()["id"], "done")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The request has no body: it must be like"),
        (b"null", "The body of the request is no JSON object: it must be like"),
        (b"[1]", "The body of the request is no JSON object: it must be like"),
        (b'"generate"', "The body of the request is no JSON object: it must be like"),
        (b"{", "The body of the request is not valid JSON."),
    ],
)
def test_a_body_that_is_no_object_is_called_the_body(server: Server, body: bytes, said: str) -> None:
    assert server.client.post("/v1/jobs", content=body).json()["detail"].startswith(said)


@pytest.mark.parametrize("token", [None, TOKEN])
def test_other_sites_pages_get_no_leave_to_send(server: Server, token: str | None) -> None:
    """Nothing answers the question that a browser asks before it sends a header such as Authorization."""
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    headers["Access-Control-Request-Headers"] = "authorization"
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    answer = httpx.options(server.client.base_url.join("/v1/jobs"), headers=headers)
    assert answer.status_code in (401, 405)
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def _chunks(count: int) -> Iterator[bytes]:
    yield from (b" " * 4096 for _ in range(count))


@pytest.mark.parametrize("body", [b" " * 70_000, b" " * 5_000_000, "chunked"])
def test_large_bodies_are_refused_whatever_they_declare(server: Server, body: Any) -> None:
    answer = server.client.post("/v1/jobs", content=_chunks(20) if body == "chunked" else body)
    assert answer.status_code == 413
    assert "64 KiB" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"prompt": "a mug", "steps": 0}, ["steps must be between 1 and 1000; 0 was given."]),
        ({"prompt": "a mug", "solver": "euler"}, ["solver must be 'dpm++' or 'ddim'; 'euler' was given."]),
        ({"prompt": "a mug", "faces": 10}, ["no setting 'faces'", "Settings: ", "elevation, azimuth"]),
        ({"prompt": "a mug", "views": 10}, ["no setting 'views'"]),
        ({"prompt": "a mug", "seed": 2**31 - 1, "count": 2}, ["2 sets", "lower seed"]),
        ({"prompt": "a dragon"}, ["does not know 'dragon'"]),
        ({"prompt": " "}, ["prompt is empty"]),
    ],
)
def test_bad_settings_of_views_are_refused_in_a_sentence(
    server: Server, settings: dict, parts: list[str]
) -> None:
    body = {"kind": "views", "settings": {"model": "tiny"} | settings}
    answer = server.client.post("/v1/jobs", json=body)
    detail = answer.json()["detail"]
    assert answer.status_code == 422, detail
    assert all(part in detail for part in parts), detail


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"kind": "format c:", "settings": {}},
            "kind must be 'generate', 'views' or 'download'; 'format c:' was given.",
        ),
        ({"settings": {"prompt": "a mug"}}, "kind is missing."),
        ({"kind": "views"}, "The request has no settings."),
    ],
)
def test_a_kind_that_is_none_is_named(server: Server, body: dict, said: str) -> None:
    answer = server.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, said)
