# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs a Blender may pick up: those whose own Blender is gone."""

import json
import os

from mvdream_blender.pending import PendingJobs, Place

GONE = 4_000_000  # above any process id


def owned_by(jobs, identifier, owner):
    file = jobs.folder / f"{identifier}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"owner": owner}))


def test_what_was_added_comes_back(tmp_path):
    jobs = PendingJobs(tmp_path / "new" / "pending")
    assert jobs.orphans() == []
    jobs.add("job-1", "a réd mug", Place("Scene", (1.0, 2.0, 3.5)))
    [record] = jobs.orphans()
    assert (record.id, record.prompt, record.place) == ("job-1", "a réd mug", Place("Scene", (1.0, 2.0, 3.5)))
    jobs.remove("job-1")
    jobs.remove("job-1")
    assert jobs.orphans() == []


def test_another_living_blenders_job_is_its_own(tmp_path):
    jobs = PendingJobs(tmp_path)
    jobs.add("a", "x", Place())
    assert not jobs.in_other_hands()
    owned_by(jobs, "a", os.getppid())
    assert jobs.orphans() == []
    assert jobs.in_other_hands()
    owned_by(jobs, "a", GONE)
    assert [record.id for record in jobs.orphans()] == ["a"]
    assert not jobs.in_other_hands()


def test_damaged_records_are_passed_over(tmp_path):
    for number, content in enumerate(("", "{}", "[]", '{"place": {"scene": "", "location": [1]}}')):
        (tmp_path / f"{number}.json").write_text(content)
    jobs = PendingJobs(tmp_path)
    assert jobs.orphans() == []
    assert not jobs.in_other_hands()


def test_an_identifier_is_no_path(tmp_path):
    jobs = PendingJobs(tmp_path / "pending")
    jobs.add("../../evil", "x", Place())
    assert [file.name for file in tmp_path.rglob("*.json")] == ["evil.json"]
