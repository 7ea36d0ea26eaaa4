# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's jobs that bring a model. Never imports bpy."""

from collections.abc import Sequence
from typing import Any

KIND = "download"


def unfinished(jobs: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The downloads that wait or work among a backend's jobs, by the names of their models."""
    return {
        str(job["settings"].get("name")): job
        for job in jobs
        if job.get("kind") == KIND and job.get("status") in ("queued", "running")
    }
