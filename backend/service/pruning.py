# SPDX-License-Identifier: GPL-3.0-or-later
"""Which finished jobs are forgotten, so that their folders do not fill the disk.

A client deletes a job once it has what it wanted (the add-on does so when the object stands in the scene).
What is left are cancelled jobs, failed ones, and results nobody fetched. A checkpoint may have 150 MB.
"""

import logging
import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from backend.service.jobs import Job, Status

KEPT_JOBS = 20
KEPT_DAYS = 30

log = logging.getLogger(__name__)


def superfluous(ended: Iterable[Job], now: datetime) -> list[str]:
    """Ids of jobs to forget: all but the newest KEPT_JOBS, and those that ended over KEPT_DAYS ago.

    The newest mesh that failed and can be resumed stays in any case: somebody may still want to. Previews of
    views are made anew, and a download goes on from its file, whatever job asks for it.

    Args:
        ended: jobs that are done, failed or cancelled, the one that ended last first.
        now: the time, with its zone.
    """
    oldest = now - timedelta(days=KEPT_DAYS)
    spared = False
    chosen = []
    for number, job in enumerate(ended):
        wanted = job.kind == "generate" and job.status is Status.FAILED and job.resumable
        if wanted and not spared:
            spared = True
            continue
        if number >= KEPT_JOBS or datetime.fromisoformat(job.ended or job.created) < oldest:
            chosen.append(job.id)
    return chosen


def remove_folders(parent: Path, names: Iterable[str]) -> None:
    """Removes folders in `parent`; what cannot be removed now is found again by a later `strays`."""
    for name in names:
        shutil.rmtree(parent / name, ignore_errors=True)


def strays(parent: Path, known: set[str]) -> list[str]:
    """Names of folders in `parent` that belong to no job in `known`: their removal was cut short."""
    try:
        return [path.name for path in parent.iterdir() if path.name not in known and path.is_dir()]
    except OSError as error:
        log.warning("The folders of the jobs cannot be listed: %s", error)
        return []
