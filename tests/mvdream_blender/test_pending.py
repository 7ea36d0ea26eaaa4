# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs a Blender may pick up: those whose own Blender is gone."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from mvdream_blender.locks import FileLock, is_held
from mvdream_blender.pending import PendingJob, PendingJobs, Place

GONE = 4_000_000  # above any process id


def owned_by(jobs, identifier, owner):
    file = jobs.folder / f"{identifier}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"owner": owner}))


def test_what_was_added_comes_back(tmp_path):
    jobs = PendingJobs(tmp_path / "new" / "pending")
    assert jobs.orphans() == []
    place = Place("Scene", (1.0, 2.0, 3.5), 7)
    jobs.add("job-1", "a réd mug", place, "https://far.example")
    [record] = jobs.orphans()
    assert record == PendingJob("job-1", "a réd mug", place, os.getpid(), "https://far.example")
    jobs.remove("job-1")
    jobs.remove("job-1")
    assert jobs.orphans() == []


HOLD = """
import sys, time
from pathlib import Path
from mvdream_blender.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
assert lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def held(mark):
    """Somebody holds the mark, until the end of the block or until it is killed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(mark)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        yield holder
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_another_living_blenders_job_is_its_own(tmp_path):
    jobs = PendingJobs(tmp_path)
    jobs.add("a", "x", Place())
    assert jobs.of_others() == []
    owned_by(jobs, "a", os.getppid())
    with held(tmp_path / f"owner-{os.getppid()}.lock"):
        assert jobs.orphans() == []
        assert [record.id for record in jobs.of_others()] == ["a"]
    owned_by(jobs, "a", GONE)
    assert [record.id for record in jobs.orphans()] == ["a"]
    assert jobs.of_others() == []


def test_a_number_that_is_another_process_by_now_is_no_owner(tmp_path):
    jobs = PendingJobs(tmp_path)
    jobs.add("a", "x", Place())
    owned_by(jobs, "a", os.getppid())
    with held(tmp_path / f"owner-{os.getppid()}.lock") as holder:
        assert [record.id for record in jobs.of_others()] == ["a"]
        # It dies, and its number goes on as somebody else's.
        holder.kill()
        holder.wait()
        assert [record.id for record in jobs.orphans()] == ["a"]


def test_a_job_that_was_left_in_order_is_offered_though_its_number_is_used_again(tmp_path):
    jobs = PendingJobs(tmp_path)
    jobs.add("a", "x", Place())
    jobs.close()
    owned_by(jobs, "a", os.getppid())
    assert [record.id for record in jobs.orphans()] == ["a"]
    assert jobs.of_others() == []


def test_a_mark_that_another_is_just_looking_at_is_held_in_the_end(tmp_path, monkeypatch):
    jobs = PendingJobs(tmp_path)
    mark = tmp_path / f"owner-{os.getpid()}.lock"
    look = FileLock(mark)
    assert look.acquire()
    monkeypatch.setattr("mvdream_blender.pending.time.sleep", lambda _: look.release())
    jobs.add("a", "x", Place())
    assert is_held(mark)
    jobs.close()
    assert not is_held(mark)


def test_a_mark_that_could_not_be_taken_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("mvdream_blender.pending.TRIES", 1)
    jobs = PendingJobs(tmp_path)
    mark = tmp_path / f"owner-{os.getpid()}.lock"
    look = FileLock(mark)
    assert look.acquire()
    jobs.add("a", "x", Place())
    look.release()
    assert not is_held(mark)
    jobs.add("b", "x", Place())
    assert is_held(mark)
    jobs.close()


def test_marks_of_life_do_not_pile_up(tmp_path):
    jobs = PendingJobs(tmp_path)
    jobs.add("a", "x", Place())
    assert [file.name for file in tmp_path.glob("*.lock")] == [f"owner-{os.getpid()}.lock"]
    jobs.close()
    assert list(tmp_path.glob("*.lock")) == []
    (tmp_path / f"owner-{GONE}.lock").touch()
    owned_by(jobs, "a", GONE)
    assert [record.id for record in jobs.orphans()] == ["a"]
    assert list(tmp_path.glob("*.lock")) == []


def test_a_record_that_vanishes_while_it_is_read_is_passed_over(tmp_path):
    jobs = PendingJobs(tmp_path)
    jobs.add("a", "x", Place())
    (tmp_path / "b.json").symlink_to(tmp_path / "gone")
    assert [record.id for record in jobs.orphans()] == ["a"]


def test_an_older_record_without_the_later_values(tmp_path):
    jobs = PendingJobs(tmp_path)
    old = {"id": "a", "prompt": "x", "place": {"scene": "S", "location": [0, 0, 0]}, "owner": GONE}
    (tmp_path / "a.json").write_text(json.dumps(old))
    assert jobs.orphans() == [PendingJob("a", "x", Place("S"), GONE)]


def test_a_discarded_job_is_noted_for_its_backend_until_it_is_settled(tmp_path):
    jobs = PendingJobs(tmp_path)
    jobs.add("near", "x", Place())
    jobs.add("far", "x", Place(), "https://far.example")
    for record in jobs.orphans():
        jobs.discard(record)
    assert jobs.orphans() == []
    assert (jobs.discarded(), jobs.discarded("https://far.example")) == (["near"], ["far"])
    jobs.settle("near")
    assert PendingJobs(tmp_path).discarded() == []


def test_damaged_records_are_passed_over(tmp_path):
    for number, content in enumerate(("", "{}", "[]", '{"place": {"scene": "", "location": [1]}}')):
        (tmp_path / f"{number}.json").write_text(content)
    jobs = PendingJobs(tmp_path)
    assert jobs.orphans() == []
    assert jobs.of_others() == []


def test_an_identifier_is_no_path(tmp_path):
    jobs = PendingJobs(tmp_path / "pending")
    jobs.add("../../evil", "x", Place())
    assert [file.name for file in tmp_path.rglob("*.json")] == ["evil.json"]
