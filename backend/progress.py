# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long job tells the world while it works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report of a running job.

    Args:
        stage: what is being done now, one short word ("load", "sample", "fit", "distil", "mesh",
            "texture", "save").
        step: steps done in this stage.
        steps: steps of this stage in all.
        fraction: share of the whole job that is done, 0..1.
        seconds_left: estimate for the whole job, or None while there is nothing to estimate from.
        message: a sentence for the user.
        preview: name of a picture in the job's folder that is new since the last report, or None.
    """

    stage: str
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    preview: str | None = None
