# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP client against a real server on a socket: answers, refusals, silence, broken connections."""

import socket
import threading

import pytest
from fake_backend import FakeBackend
from small_glb import box

from mvdream_blender.client import Client, parse_url
from mvdream_blender.errors import MVDreamError, Refused, Unreachable
from mvdream_blender.tasks import Task, run


@pytest.fixture
def backend(tmp_path):
    server = FakeBackend(tmp_path / "data", "secret").start()
    yield server
    server.stop()


@pytest.fixture
def client(backend):
    return Client(backend.url, "secret")


def serve_once(answer: bytes, wait: threading.Event | None = None):
    """A server that gives one answer, whatever is asked; returns its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work():
        connection, _ = listener.accept()
        with connection, listener:
            connection.recv(65536)
            if wait is not None:
                wait.wait(20)
            connection.sendall(answer)

    threading.Thread(target=work, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_submit_then_done(client):
    job = run(client.submit({"prompt": "a red mug"}), 10)
    assert job["status"] == "queued"
    states = [run(client.job(job["id"]), 10) for _ in range(4)]
    assert [state["step"] for state in states] == [1, 2, 3, 4]
    assert states[-1]["status"] == "done"
    assert run(client.file(job["id"], "mesh.glb"), 10) == box(model="small")
    assert [entry["id"] for entry in run(client.jobs(), 10)] == [job["id"]]


def test_cancel_and_resume(client):
    job = run(client.submit({"prompt": "slow"}), 10)
    assert run(client.cancel(job["id"]), 10)["status"] == "cancelled"
    assert run(client.resume(job["id"]), 10)["status"] == "running"


def test_models_are_listed_and_removed(client, backend):
    (backend.folder / "model mvdream-sd21").touch()
    there = {model.name: model.installed for model in run(client.models(), 10)}
    assert there == {"small": True, "mvdream-sd21": True, "mine": True}
    run(client.remove_model("mvdream-sd21"), 10)
    [absent] = [model for model in run(client.models(), 10) if not model.installed]
    assert (absent.name, absent.source, absent.about_bytes) == ("mvdream-sd21", "a/b/c.pt", 5_200_000_000)
    with pytest.raises(Refused, match=r"There is no model '\.\./x'"):
        run(client.remove_model("../x"), 10)
    assert backend.requests[-1] == ("DELETE", "/v1/models/..%2Fx")


def test_something_else_has_no_models():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[5]"
    with pytest.raises(Unreachable, match="has no list of models"):
        run(Client(serve_once(answer), "t").models(), 10)


def test_refusal_gives_the_backends_own_sentence(client):
    with pytest.raises(Refused, match=r"^The prompt is empty: say what to make\.$") as caught:
        run(client.submit({"prompt": " "}), 10)
    assert caught.value.status == 422


def test_names_are_quoted(client, backend):
    with pytest.raises(Refused):
        run(client.job("../../x y"), 10)
    assert backend.requests[-1] == ("GET", "/v1/jobs/..%2F..%2Fx%20y")


def test_wrong_token(backend):
    with pytest.raises(Refused, match="does not accept the token") as caught:
        run(Client(backend.url, "other").health(), 10)
    assert caught.value.fix == "preferences"


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match="nobody listens there"):
        run(Client(f"http://127.0.0.1:{port}", "t").health(), 10)


def test_silent_server_times_out():
    release = threading.Event()
    url = serve_once(b"", release)
    with pytest.raises(Unreachable, match=r"has not answered for 0\.2 seconds"):
        run(Client(url, "t", timeout=0.2).health(), 10)
    release.set()


def test_waiting_does_not_block():
    release = threading.Event()
    task = Task(Client(serve_once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", release), "t").health())
    # A blocking call would wait for a release that only comes after it.
    for _ in range(50):
        assert task.tick() is False
    release.set()
    while not task.tick():
        pass
    assert task.result() == {}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", "broke in the middle"),
        (b"220 mail.example ESMTP\r\n", "failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "is not MVDream's backend"),
    ],
)
def test_broken_answers_are_told(answer, message):
    with pytest.raises(Unreachable, match=message):
        run(Client(serve_once(answer), "t").health(), 10)


def test_chunked_answer():
    answer = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n'
    assert run(Client(serve_once(answer), "t").health(), 10) == {"a": 1}


def test_refusal_without_a_sentence():
    answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nboom"
    with pytest.raises(Refused, match="answered with the error 500"):
        run(Client(serve_once(answer), "t").health(), 10)


def test_large_bodies_both_ways():
    body = bytes(range(256)) * 40_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert run(Client(serve_once(answer), "t").file("a", "b"), 20) == body


def test_names_are_resolved_in_a_child(backend):
    port = backend.url.rsplit(":", 1)[1]
    assert run(Client(f"http://localhost:{port}", "secret").health(), 10)["status"] == "ok"
    with pytest.raises(Unreachable, match=r"no machine named 'no-such-host\.invalid'"):
        run(Client("https://no-such-host.invalid", "secret", timeout=60).health(), 60)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is not an address"),
        ("127.0.0.1:80", "is not an address"),
        ("ftp://127.0.0.1", "is not an address"),
        ("http://", "is not an address"),
        ("http://127.0.0.1:99999", "is not an address"),
        ("http://me:secret@127.0.0.1", "no user name"),
        ("http://gpu.example.org:8000", "use https, or a tunnel"),
        ("http://192.168.1.5:8000", "use https, or a tunnel"),
    ],
)
def test_bad_urls(url, message):
    with pytest.raises(MVDreamError, match=message):
        parse_url(url)


def test_good_urls():
    for url in (
        "http://127.0.0.1:8000",
        " http://localhost:1/ ",
        "https://gpu.example.org/mvdream/",
        "http://[::1]:80",
    ):
        assert parse_url(url).hostname


def test_token_with_a_line_break_never_travels(backend):
    with pytest.raises(MVDreamError, match="token"):
        Client(backend.url, "a\r\nX-Evil: 1")
