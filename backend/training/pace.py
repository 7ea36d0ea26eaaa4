# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a training runs, and the learning rate that follows from it."""

import logging
import math

log = logging.getLogger(__name__)

_MARGIN = 0.97  # of the time that is left; validation and checkpoints take some
_REPLAN_AT = 0.5


class Pace:
    """Number of steps, given or found from a time budget.

    With a budget, the speed of the first steps (compiling excluded) fixes the number, and a second look half
    way corrects it: the cosine must reach its end when the time does.

    Args:
        steps: how many steps; None to find it from `minutes`.
        minutes: wall-clock budget counted from `started`.
        started: when the budget began, on the clock of `now`.
        reserve: seconds kept for saving and the last validation.
    """

    def __init__(
        self, steps: int | None, minutes: float | None, started: float = 0.0, reserve: float = 10.0
    ) -> None:
        if steps is None and minutes is None:
            raise ValueError("steps or minutes must be given")
        self.total = steps
        self._deadline = None if minutes is None else started + minutes * 60 - reserve
        self._timed = steps is None
        self._mark: tuple[int, float] | None = None
        self._replanned = False

    def fix(self, total: int) -> None:
        """Takes over the number of steps that an interrupted run had found."""
        self.total, self._timed = total, False

    def observe(self, step: int, now: float) -> None:
        """Tells that `step` steps are done at `now` seconds; called now and then, when the device is idle."""
        if self._mark is None:
            self._mark = (step, now)
            return
        if not self._timed or self._deadline is None:
            return
        half_way = self.total is not None and step >= _REPLAN_AT * self.total
        if self.total is None or (half_way and not self._replanned):
            self._replanned = self.total is not None
            left = max(self._deadline - now, 0.0) * _MARGIN
            self.total = max(step + 1, step + int(left / self.seconds_a_step(step, now)))
            log.info("The time budget gives %d steps.", self.total)

    def seconds_a_step(self, step: int, now: float) -> float:
        """Mean since the first observation; 0 while there is none."""
        if self._mark is None or step <= self._mark[0]:
            return 0.0
        return max((now - self._mark[1]) / (step - self._mark[0]), 1e-6)

    def seconds_left(self, step: int, now: float) -> float | None:
        """Estimate, None while the number of steps or the speed is not known."""
        speed = self.seconds_a_step(step, now)
        return None if self.total is None or not speed else (self.total - step) * speed

    def finished(self, step: int, now: float) -> bool:
        """Whether `step` steps are all, or the time is up."""
        if self.total is not None and step >= self.total:
            return True
        if self._deadline is not None and now >= self._deadline:
            log.warning("Time is up after %d of %s steps.", step, self.total)
            return True
        return False


def learning_rate(base: float, step: int, total: int | None, warmup: int) -> float:
    """Linear warm-up over `warmup` steps, then a half cosine from `base` to 0 at `total` (None: unknown)."""
    if total is not None:
        warmup = min(warmup, total // 10)
    if step < warmup:
        return base * (step + 1) / warmup
    if total is None:
        return base
    return base * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))
