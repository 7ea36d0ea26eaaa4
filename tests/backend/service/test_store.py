# SPDX-License-Identifier: GPL-3.0-or-later
"""The job store on its own."""

import sqlite3
import threading
from pathlib import Path

import pytest

from backend.errors import UserError
from backend.service.jobs import Status
from backend.service.store import JobStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def test_jobs_outlive_the_store_and_running_ones_are_queued_first(path: Path) -> None:
    store = JobStore(path)
    for name in ("a", "b", "c"):
        store.add(name, "generate", {"prompt": "ein Käse"})
    store.update("a", status=Status.RUNNING, step=5, files=["preview.png"], seconds_left=2.5)
    # Not closed: this is what a killed process leaves.
    again = JobStore(path)
    assert again.recover() == 1
    job = again.next_queued()
    assert job is not None
    assert (job.id, job.step, job.files, job.seconds_left) == ("a", 5, ["preview.png"], None)
    assert job.settings == {"prompt": "ein Käse"}
    assert [job.id for job in again.list()] == ["c", "b", "a"]


def test_a_resumed_job_goes_to_the_end_of_the_queue_but_keeps_its_place_in_the_list(path: Path) -> None:
    store = JobStore(path)
    store.add("a", "generate", {})
    store.update("a", status=Status.FAILED, error="it broke", ended="now")
    store.add("b", "generate", {})
    job = store.enqueue_again("a")
    assert (job.status, job.error, job.ended) == (Status.QUEUED, None, None)
    assert store.next_queued().id == "b"
    assert [job.id for job in store.list()] == ["b", "a"]


def test_counting_cancelling_and_deleting(path: Path) -> None:
    store = JobStore(path)
    assert store.next_queued() is None
    assert not store.has_work()
    store.add("a", "generate", {})
    assert (store.count(Status.QUEUED), store.has_work()) == (1, True)
    assert store.cancel_queued("a").status is Status.CANCELLED
    assert not store.has_work()
    store.delete("a")
    assert store.get("a") is None


def test_wrong_names_are_a_programming_error(path: Path) -> None:
    store = JobStore(path)
    store.add("a", "generate", {})
    with pytest.raises(KeyError):
        store.update("a", **{"status = 'done' --": 1})
    with pytest.raises(KeyError):
        store.update("b", step=1)


def test_another_thread_is_refused(path: Path) -> None:
    store = JobStore(path)
    caught: list[type[Exception]] = []

    def use() -> None:
        try:
            store.list()
        except sqlite3.ProgrammingError as error:
            caught.append(type(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert caught == [sqlite3.ProgrammingError]


def test_a_file_that_is_no_store_is_named(path: Path) -> None:
    path.write_bytes(b"something else " * 100)
    with pytest.raises(UserError, match=r"jobs\.sqlite cannot be used.*Move it away"):
        JobStore(path)


def test_a_store_of_the_first_version_is_brought_up_to_date(path: Path) -> None:
    store = JobStore(path)
    store.add("a", "generate", {"prompt": "a mug"})
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE jobs DROP COLUMN resumable")
        db.execute("PRAGMA user_version=1")
    job = JobStore(path).get("a")
    assert job is not None
    assert (job.resumable, job.settings) == (True, {"prompt": "a mug"})


def test_a_newer_store_is_left_alone(path: Path) -> None:
    JobStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(UserError, match="newer version"):
        JobStore(path)
