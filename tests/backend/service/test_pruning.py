# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs are forgotten: old ones and those beyond the newest, never what somebody may still want."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.service import pruning
from backend.service.jobs import Job, Status

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def _job(
    name: str, days: float, status: Status = Status.DONE, resumable: bool = True, kind: str = "generate"
) -> Job:
    ended = (NOW - timedelta(days=days)).isoformat(timespec="milliseconds")
    return Job(id=name, kind=kind, status=status, created=ended, ended=ended, resumable=resumable)


def test_old_jobs_go() -> None:
    jobs = [_job("a", 1), _job("b", 29.9), _job("c", 30.1, Status.CANCELLED)]
    assert pruning.superfluous(jobs, NOW) == ["c"]


def test_more_than_the_newest_go() -> None:
    jobs = [_job(f"job{number}", number / 100) for number in range(pruning.KEPT_JOBS + 2)]
    assert pruning.superfluous(jobs, NOW) == ["job20", "job21"]


def test_the_newest_failed_job_that_can_be_resumed_stays_whatever_its_age() -> None:
    many = [_job(f"job{number}", 0.1) for number in range(pruning.KEPT_JOBS)]
    jobs = [
        *many,
        _job("mistake", 50, Status.FAILED, resumable=False),
        _job("wanted", 60, Status.FAILED),
        _job("older", 70, Status.FAILED),
    ]
    assert pruning.superfluous(jobs, NOW) == ["mistake", "older"]


@pytest.mark.parametrize("kind", ["views", "download"])
def test_only_meshes_are_spared(kind: str) -> None:
    jobs = [_job("newer", 50, Status.FAILED, kind=kind), _job("wanted", 60, Status.FAILED)]
    assert pruning.superfluous(jobs, NOW) == ["newer"]


def test_strays_are_folders_of_no_job(tmp_path: Path) -> None:
    for name in ("known", "gone"):
        (tmp_path / name).mkdir()
    (tmp_path / "a file").touch()
    assert pruning.strays(tmp_path, {"known"}) == ["gone"]
    assert pruning.strays(tmp_path / "none", set()) == []
    (tmp_path / "gone" / "mesh.glb").touch()
    pruning.remove_folders(tmp_path, ["gone", "never there"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "known"]
