# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting, attaching to, losing and stopping a backend: real processes, a fake backend."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from fake_backend import VERSION, FakeBackend, hold

from mvdream_blender.backend_process import Announcement, BackendProcess
from mvdream_blender.errors import MVDreamError
from mvdream_blender.processes import is_alive
from mvdream_blender.tasks import Delay, Task, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


def wait_until(condition, seconds=20):
    def steps():
        while not condition():
            yield Delay(0.02)

    run(steps(), seconds)


@pytest.fixture
def backend(tmp_path):
    process = BackendProcess(tmp_path, tmp_path / "däta folder", VERSION)
    yield process
    run(process.end(lambda _: True), 30)


def announce(process, url, pid, version=VERSION):
    process.data.mkdir(exist_ok=True)
    values = {"url": url, "pid": pid, "port": 1, "token": "tok", "version": version}
    (process.data / "service.json").write_text(json.dumps(values))


def test_starts_and_stops(backend, fake_python):
    client = run(backend.connect(fake_python), 30)
    assert backend.running
    assert run(client.health(), 10)["status"] == "ok"
    pid = Announcement.read(backend.data).pid
    assert pid != os.getpid()
    run(backend.end(), 30)
    assert not is_alive(pid)
    assert not backend.died


def test_a_second_blender_attaches(backend, fake_python, tmp_path):
    first = run(backend.connect(fake_python), 30)
    other = BackendProcess(tmp_path, backend.data, VERSION)
    second = run(other.connect(tmp_path / "never started"), 30)
    assert second.url == first.url
    assert other.running


def test_a_backend_of_an_earlier_blender_is_found_and_ended(backend, fake_python, tmp_path):
    run(backend.connect(fake_python), 30)
    pid = Announcement.read(backend.data).pid
    later = BackendProcess(tmp_path, backend.data, "9.9.9")
    assert not later.left_running
    later.look()
    assert later.left_running
    run(later.end(), 30)
    assert not is_alive(pid)
    assert Announcement.read(backend.data) is None  # it was asked, and has tidied up
    assert not later.left_running


def test_another_blenders_job_keeps_the_backend(backend, fake_python, tmp_path):
    client = run(backend.connect(fake_python), 30)
    job = run(client.submit({"prompt": "slow horse"}), 10)
    later = BackendProcess(tmp_path, backend.data, VERSION)
    for _ in ("queued", "running"):
        with pytest.raises(MVDreamError, match='Another Blender is making "slow horse"'):
            run(later.end(lambda identifier: identifier == "unknown"), 30)
        run(client.job(job["id"]), 10)
    assert run(client.health(), 10)["jobs_running"] == 1
    run(client.cancel(job["id"]), 10)
    run(later.end(), 30)
    assert not backend.running


def test_another_blenders_preview_keeps_the_backend(backend, fake_python, tmp_path):
    client = run(backend.connect(fake_python), 30)
    job = run(client.submit({"prompt": "slow horse"}, "views"), 10)["id"]  # noted nowhere
    later = BackendProcess(tmp_path, backend.data, VERSION)
    with pytest.raises(MVDreamError, match='"slow horse"'):
        run(later.end(), 30)
    assert backend.running
    run(later.end(lambda identifier: identifier == job), 30)
    assert not backend.running


def test_a_stale_announcement_ends_nobody(backend):
    # Somebody else's process may have got the number meanwhile.
    announce(backend, "http://127.0.0.1:9", os.getppid())
    run(backend.end(), 30)


@pytest.fixture
def stranger():
    """A process that has got the number of a backend that ended."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("how", ["idle", "killed"])
def test_the_number_of_an_ended_backend_is_nobodys(backend, fake_python, stranger, how):
    run(backend.connect(fake_python), 30)
    announced = Announcement.read(backend.data)
    os.kill(announced.pid, signal.SIGKILL)
    wait_until(lambda: not backend.running)
    backend._child = None  # the next Blender's, which attached, has none
    backend._attached = replace(announced, pid=stranger.pid)
    if how == "idle":
        (backend.data / "service.json").unlink()  # as the service does when it leaves
    else:
        announce(backend, announced.url, stranger.pid)
        backend._attached = Announcement.read(backend.data)
    assert not backend.running
    assert backend.died == (how == "killed")
    backend.stop()
    run(backend.end(), 30)
    assert stranger.poll() is None


def test_another_backend_in_the_folder_is_not_taken_for_the_one_that_ended(backend, fake_python, stranger):
    run(backend.connect(fake_python), 30)
    backend._attached = replace(backend._attached, pid=stranger.pid, token="of before")
    child, backend._child = backend._child, None
    assert not backend.running
    backend.look()
    assert backend.left_running
    run(backend.end(), 30)
    assert child.code == 0
    assert stranger.poll() is None


def test_a_request_to_end_that_nobody_obeys_ends_no_stranger(backend, stranger, tmp_path, monkeypatch):
    """It did end, but somebody else got its number at once."""
    monkeypatch.setattr("mvdream_blender.backend_ending.END_SECONDS", 0.2)
    server = FakeBackend(tmp_path / "jobs", "tok").start()
    announce(backend, server.url, stranger.pid)
    run(backend.end(), 30)
    server.stop()
    assert stranger.poll() is None


def test_a_backend_that_is_there_is_ended_by_its_number(backend, stranger, tmp_path):
    announce(backend, "http://127.0.0.1:9", stranger.pid)
    backend._attached = Announcement.read(backend.data)
    with hold(backend.data / "service.lock"):
        assert backend.running
        run(backend.end(), 30)
    assert stranger.poll() is not None


def test_a_backend_that_hangs_is_ended_by_its_number(backend, fake_python, monkeypatch):
    monkeypatch.setattr("mvdream_blender.backend_ending.PROBE_SECONDS", 0.2)
    monkeypatch.setattr("mvdream_blender.backend_ending.END_SECONDS", 20)
    run(backend.connect(fake_python), 30)
    pid = Announcement.read(backend.data).pid
    os.kill(pid, signal.SIGSTOP)
    task = Task(backend.end())
    while not task.tick():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT if backend._attached is None else signal.SIGSTOP)
    assert not is_alive(pid)


def test_quitting_leaves_a_backend_that_works(backend, fake_python):
    client = run(backend.connect(fake_python), 30)
    job = run(client.submit({"prompt": "slow"}), 10)
    run(client.job(job["id"]), 10)
    backend.stop()
    assert run(client.health(), 10)["jobs_running"] == 1
    assert not backend.running  # and is not followed any more
    run(client.cancel(job["id"]), 10)
    run(backend.connect(fake_python), 30)
    pid = Announcement.read(backend.data).pid
    backend.stop()
    assert not is_alive(pid)


def test_discarded_jobs_are_named_at_the_start(backend, fake_python):
    client = run(backend.connect(fake_python), 30)
    job = run(client.submit({"prompt": "slow"}), 10)["id"]
    run(backend.end(lambda identifier: identifier == job), 30)
    client = run(backend.connect(fake_python, [job]), 30)
    assert (backend.data / f"{job}.discarded").exists()
    assert run(client.jobs(), 10) == []


def test_stale_announcement_is_replaced(backend, fake_python):
    announce(backend, "http://127.0.0.1:9", 4_000_000)
    client = run(backend.connect(fake_python), 30)
    assert client.url != "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"url": "x"}', '{"url":"http://evil.example","pid":1,"token":"t","version":"0"}'],
)
def test_nonsense_in_the_announcement(backend, fake_python, content):
    backend.data.mkdir()
    (backend.data / "service.json").write_text(content)
    run(backend.connect(fake_python), 30)
    assert backend.running


def test_death_is_noticed_and_told_with_the_log(backend, fake_python):
    run(backend.connect(fake_python), 30)
    os.kill(Announcement.read(backend.data).pid, signal.SIGKILL)
    wait_until(lambda: not backend.running)
    assert backend.died
    error = backend.death("while it was working")
    assert error.fix == "restart"
    assert "while it was working" in str(error)
    assert "listening" in str(error)


def test_ending_by_itself_is_no_death(backend, fake_python):
    run(backend.connect(fake_python), 30)
    announced = Announcement.read(backend.data)
    (backend.data / "service.json").unlink()  # as the service does when it leaves
    os.kill(announced.pid, signal.SIGTERM)
    wait_until(lambda: not backend.running)
    assert not backend.died


def test_an_old_idle_backend_is_replaced(backend, fake_python, tmp_path):
    old = BackendProcess(tmp_path, backend.data, VERSION)
    run(old.connect(fake_python), 30)
    pid = Announcement.read(backend.data).pid
    backend.version = "9.9.9"
    run(backend.connect(fake_python), 30)
    assert not old.running
    assert Announcement.read(backend.data).pid != pid


def test_an_old_busy_backend_is_left_alone(backend, tmp_path):
    server = FakeBackend(tmp_path / "jobs", "tok", version="0.0.9").start()
    server.save({"id": "job1", "status": "running"})
    announce(backend, server.url, os.getpid(), "0.0.9")
    with pytest.raises(MVDreamError, match=r"version 0\.0\.9 is still working"):
        run(backend.connect(tmp_path / "never started"), 30)
    server.stop()


def broken_python(tmp_path, script):
    file = tmp_path / "broken python"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_missing_package_offers_to_install(backend, tmp_path):
    python = broken_python(tmp_path, "echo \"ModuleNotFoundError: No module named 'fastapi'\" >&2; exit 1")
    with pytest.raises(MVDreamError, match="No module named 'fastapi'") as caught:
        run(backend.connect(python), 30)
    assert caught.value.fix == "install"


def test_early_exit_is_told_with_its_code(backend, tmp_path):
    with pytest.raises(MVDreamError, match=r"did not start \(exit code 3\).\nkaputt"):
        run(backend.connect(broken_python(tmp_path, "echo kaputt; exit 3")), 30)


def test_never_ready(backend, tmp_path, monkeypatch):
    monkeypatch.setattr("mvdream_blender.backend_process.START_SECONDS", 0.3)
    with pytest.raises(MVDreamError, match=r"not ready after 0\.3 seconds"):
        run(backend.connect(broken_python(tmp_path, "sleep 60")), 30)
    assert not backend.running


def test_python_that_can_not_be_started(backend, tmp_path):
    with pytest.raises(MVDreamError, match="can't be started with") as caught:
        run(backend.connect(tmp_path / "nothing"), 30)
    assert caught.value.fix == "preferences"


def test_blenders_python_settings_do_not_leak(backend, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/blender")
    monkeypatch.setenv("PYTHONPATH", "/blender/scripts")
    with pytest.raises(MVDreamError) as caught:
        run(
            backend.connect(
                broken_python(tmp_path, 'echo "home=$PYTHONHOME path=$PYTHONPATH cwd=$(pwd)"; exit 1')
            ),
            30,
        )
    assert f"home= path={tmp_path} cwd={backend.data}" in str(caught.value)


def test_two_blenders_start_at_once(backend, tmp_path):
    """The slower one's backend refuses the folder, and the add-on attaches to the other's."""
    server = FakeBackend(tmp_path / "jobs", "tok").start()
    quick = BackendProcess(tmp_path, backend.data, VERSION)
    announce(quick, server.url, os.getpid())
    announcement = backend.data / "service.json"
    announcement.rename(backend.data / "later")
    # The other's announcement comes while this one is being refused.
    script = f'mv "{backend.data}/later" "{announcement}"; echo "Another service works on x." >&2; exit 2'
    client = run(backend.connect(broken_python(tmp_path, script)), 30)
    assert client.url == server.url
    backend.detach()
    server.stop()
