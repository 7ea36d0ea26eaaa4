# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a whole job, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import accumulate

from backend.progress import Progress

TELLING_STEPS = 3
TELLING_SECONDS = 10.0

Report = Callable[[Progress], None]

# Shares of a typical job's time, in order. Only the bar's evenness depends on them.
STAGES = {
    "load": 0.05,
    "sample": 0.07,
    "fit": 0.10,
    "distil": 0.63,
    "mesh": 0.04,
    "texture": 0.10,
    "save": 0.01,
}


class Pacer:
    """Turns (stage, step) into Progress with a fraction of the whole and the time left.

    Args:
        report: gets each Progress.
        clock: seconds, monotonic.
        stages: names and shares of the whole, in order; the time left is judged by the longest.
    """

    def __init__(
        self,
        report: Report | None,
        clock: Callable[[], float] = time.monotonic,
        stages: Mapping[str, float] = STAGES,
    ) -> None:
        self._report = report
        self._clock = clock
        self._share_out(stages)
        self._stage = ""
        self._entered = clock()
        self._first_step = 0
        self.seconds: dict[str, float] = {}

    def __call__(
        self, stage: str, step: int = 0, steps: int = 0, message: str = "", preview: str | None = None
    ) -> None:
        """Reports `step` of `steps` of a stage."""
        now = self._clock()
        if stage != self._stage:
            if self._stage:
                self.seconds[self._stage] = now - self._entered
            self._stage, self._entered, self._first_step = stage, now, step
        self.seconds[stage] = now - self._entered
        fraction = self._before[stage] + self._shares[stage] * (step / steps if steps else 0.0)
        if self._report is not None:
            self._report(
                Progress(stage, step, steps, fraction, self._left(step, steps, now), message, preview)
            )

    def leave_out(self, *stages: str) -> None:
        """These will not come: the others share the whole. To be called while none has taken a step."""
        self._share_out({name: share for name, share in self._shares.items() if name not in stages})

    def _share_out(self, stages: Mapping[str, float]) -> None:
        whole = sum(stages.values())
        self._shares = {name: share / whole for name, share in stages.items()}
        starts = accumulate(self._shares.values(), initial=0.0)
        self._before = dict(zip(self._shares, starts, strict=False))
        self._longest = max(self._shares, key=self._shares.__getitem__)

    def _left(self, step: int, steps: int, now: float) -> float | None:
        taken = step - self._first_step
        # The first steps of a fast job say little; those of a slow one are worth telling.
        few = taken < TELLING_STEPS and now - self._entered < TELLING_SECONDS
        if self._stage != self._longest or taken < 1 or few:
            return None
        a_step = (now - self._entered) / taken
        share = self._shares[self._longest]
        later = (1 - self._before[self._longest] - share) / share
        return a_step * (steps - step) + later * a_step * steps
