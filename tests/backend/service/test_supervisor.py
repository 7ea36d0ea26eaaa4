# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker processes, real ones with a stand-in pipeline: how they end, and what the user is told."""

import asyncio
import contextlib
import functools
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from service_harness import alive
from supervisor_harness import eventually, run_story

from backend.service.jobs import Job, Status
from backend.service.store import JobStore, now
from backend.service.supervisor import Supervisor


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Runs a story with a supervisor at work."""
    return functools.partial(run_story, tmp_path)


def _job(store: JobStore, name: str) -> Job:
    job = store.get(name)
    assert job is not None
    return job


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("killed", ["killed by the system", "memory", "draft"]),
        ("crash", ["crashed (exit code 3)", "the frobnicator is upside down", "worker.log"]),
        ("full", ["disk", "is full", "resume"]),
        ("hungry", ["memory of the graphics card", "the small model"]),
        ("mistake", ["The colour is wrong."]),
    ],
)
def test_a_failed_job_says_what_happened(play: Callable, prompt: str, parts: list[str]) -> None:
    async def story(supervisor: Supervisor, store: JobStore) -> None:
        store.add("one", "generate", {"prompt": prompt})
        supervisor.wake()
        await eventually(lambda: _job(store, "one").ended)
        job = _job(store, "one")
        assert job.status is Status.FAILED
        assert all(part in (job.error or "") for part in parts), job.error

    play(story)


def test_one_after_the_other_also_after_a_failure(play: Callable) -> None:
    async def story(supervisor: Supervisor, store: JobStore) -> None:
        for name, prompt in (("first", "mistake"), ("second", "a mug"), ("third", "a mug")):
            store.add(name, "generate", {"prompt": prompt})
        supervisor.wake()
        await eventually(lambda: store.count(Status.RUNNING))
        while not _job(store, "third").ended:
            assert store.count(Status.RUNNING) <= 1
            await asyncio.sleep(0.005)
        jobs = [_job(store, name) for name in ("first", "second", "third")]
        assert [job.status for job in jobs] == [Status.FAILED, Status.DONE, Status.DONE]
        assert jobs[0].ended <= jobs[1].started <= jobs[1].ended <= jobs[2].started

    play(story)


def test_what_libraries_print_is_no_message_and_the_worker_ends_well(
    play: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(supervisor: Supervisor, store: JobStore) -> None:
        store.add("one", "generate", {"prompt": "chatty"})
        supervisor.wake()
        await eventually(lambda: _job(store, "one").ended)
        assert _job(store, "one").status is Status.DONE

    play(story)
    log = (tmp_path / "jobs" / "one" / "worker.log").read_text()
    assert "forged" in log
    assert "Fatal" not in log
    assert "ended with code" not in caplog.text


def test_cancel_lets_the_worker_end_by_itself_and_resume_goes_on(play: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "one"

    async def story(supervisor: Supervisor, store: JobStore) -> None:
        store.add("one", "generate", {"prompt": "endless"})
        supervisor.wake()
        await eventually(lambda: _job(store, "one").step >= 2)
        await supervisor.cancel("one")
        assert _job(store, "one").status is Status.CANCELLED
        assert not alive(json.loads((folder / "pid.json").read_text()))
        reached = json.loads((folder / "checkpoint.json").read_text())
        store.enqueue_again("one")
        supervisor.wake()
        await eventually(lambda: _job(store, "one").step > reached)
        assert json.loads((folder / "started_at.json").read_text()) == reached
        await supervisor.cancel("one")

    play(story, grace=15.0)


def test_cancel_kills_a_stubborn_worker_with_all_it_started(play: Callable, tmp_path: Path) -> None:
    async def story(supervisor: Supervisor, store: JobStore) -> None:
        store.add("one", "generate", {"prompt": "stubborn"})
        supervisor.wake()
        await eventually(lambda: _job(store, "one").message == "Ignoring you")
        child = json.loads((tmp_path / "jobs" / "one" / "child.json").read_text())
        assert alive(child)
        await asyncio.gather(supervisor.cancel("one"), supervisor.cancel("one"))
        assert _job(store, "one").status is Status.CANCELLED
        await eventually(lambda: not alive(child))

    play(story, grace=0.3)


def test_stopping_the_supervisor_queues_the_job_for_the_next_start(play: Callable, tmp_path: Path) -> None:
    async def story(supervisor: Supervisor, store: JobStore) -> None:
        store.add("one", "generate", {"prompt": "endless"})
        supervisor.wake()
        await eventually(lambda: _job(store, "one").step >= 1)
        await supervisor.stop()
        job = _job(store, "one")
        assert (job.status, job.ended, job.error) == (Status.QUEUED, None, None)

    play(story)


def test_a_worker_that_cannot_be_started_fails_the_job_only(play: Callable) -> None:
    async def story(supervisor: Supervisor, store: JobStore) -> None:
        store.add("one", "generate", {"prompt": "a mug"})
        supervisor.wake()
        await eventually(lambda: _job(store, "one").ended)
        assert "FileNotFoundError" in (_job(store, "one").error or "")

    play(story, worker_command=("/no/such/program",))


def test_an_end_that_cannot_be_written_is_written_later(
    play: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    async def story(supervisor: Supervisor, store: JobStore) -> None:
        update = store.update

        def full_once(job_id: str, **values: object) -> Job:
            if "ended" in values and values["ended"] and not refused:
                refused.append(values)
                raise sqlite3.OperationalError("database or disk is full")
            return update(job_id, **values)

        monkeypatch.setattr(store, "update", full_once)
        for name in ("one", "two"):
            store.add(name, "generate", {"prompt": "mistake"})
        supervisor.wake()
        await eventually(lambda: _job(store, "two").ended)
        assert _job(store, "one").status is Status.FAILED
        assert refused

    play(story)


@pytest.mark.parametrize(
    ("prompt", "resumable"), [("a mug", False), ("mistake", False), ("crash", True), ("full", True)]
)
def test_what_is_done_or_was_the_users_mistake_is_not_to_be_resumed(
    play: Callable, prompt: str, resumable: bool
) -> None:
    async def story(supervisor: Supervisor, store: JobStore) -> None:
        store.add("one", "generate", {"prompt": prompt})
        supervisor.wake()
        await eventually(lambda: _job(store, "one").ended)
        assert _job(store, "one").resumable is resumable

    play(story)


def test_old_jobs_are_forgotten_after_each_job_but_never_one_that_waits(
    play: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("backend.service.pruning.KEPT_JOBS", 1)

    async def story(supervisor: Supervisor, store: JobStore) -> None:
        for name, prompt in (
            ("first", "a mug"),
            ("second", "a mug"),
            ("third", "endless"),
            ("fourth", "a mug"),
        ):
            store.add(name, "generate", {"prompt": prompt})
        supervisor.wake()
        await eventually(lambda: _job(store, "third").step)
        await eventually(lambda: not (tmp_path / "jobs" / "first").exists())
        assert [job.id for job in store.list()] == ["fourth", "third", "second"]
        assert (tmp_path / "jobs" / "second" / "mesh.glb").exists()

    play(story)


def test_the_start_forgets_old_jobs_and_folders_of_none(play: Callable, tmp_path: Path) -> None:
    long_ago = "2020-01-01T00:00:00.000+00:00"
    with contextlib.closing(JobStore(tmp_path / "jobs.sqlite")) as store:
        for name, status in (("old", Status.DONE), ("failed", Status.FAILED), ("recent", Status.DONE)):
            store.add(name, "generate", {})
            store.update(name, status=status, ended=now() if name == "recent" else long_ago)
    for name in ("old", "failed", "recent", "stray"):
        (tmp_path / "jobs" / name).mkdir(parents=True)

    async def story(supervisor: Supervisor, store: JobStore) -> None:
        await eventually(lambda: not (tmp_path / "jobs" / "stray").exists())
        assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["failed", "recent"]
        assert store.ids() == {"failed", "recent"}

    play(story)


def test_a_queue_that_cannot_be_read_is_read_again(
    play: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("backend.service.supervisor.RETRY", 0.01)
    refused = []

    async def story(supervisor: Supervisor, store: JobStore) -> None:
        next_queued = store.next_queued

        def locked_twice(downloads: bool) -> Job | None:
            if len(refused) < 2:
                refused.append(True)
                raise sqlite3.OperationalError("database is locked")
            return next_queued(downloads)

        monkeypatch.setattr(store, "next_queued", locked_twice)
        store.add("one", "generate", {"prompt": "a mug"})
        await eventually(lambda: _job(store, "one").ended)
        assert _job(store, "one").status is Status.DONE
        assert len(refused) == 2
        assert "database is locked" in caplog.text

    play(story)


def test_progress_that_cannot_be_written_does_not_end_the_job(
    play: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused = []

    async def story(supervisor: Supervisor, store: JobStore) -> None:
        update = store.update

        def no_progress(job_id: str, **values: object) -> Job:
            if "progress" in values and "ended" not in values:
                refused.append(values)
                raise sqlite3.OperationalError("database or disk is full")
            return update(job_id, **values)

        monkeypatch.setattr(store, "update", no_progress)
        store.add("one", "generate", {"prompt": "a mug"})
        supervisor.wake()
        await eventually(lambda: _job(store, "one").ended)
        assert _job(store, "one").status is Status.DONE
        assert refused
        assert "Progress of job one could not be written: database or disk is full" in caplog.text

    play(story)


def test_an_unknown_kind_is_named(play: Callable) -> None:
    async def story(supervisor: Supervisor, store: JobStore) -> None:
        store.add("one", "train", {})
        supervisor.wake()
        await eventually(lambda: _job(store, "one").ended)
        assert "'train'" in (_job(store, "one").error or "")

    play(story)
