# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop: pace, learning rate, figures, checkpoints, resume. A Task says what is trained."""

import json
import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.errors import UserError
from backend.training.average import MovingAverage
from backend.training.checkpoints import (
    CHECKPOINT,
    random_state,
    read_checkpoint,
    restore_random_state,
    write_checkpoint,
)
from backend.training.pace import Pace, learning_rate
from backend.training.stepper import Stepper, mean_and_reset
from backend.training.task import Task

log = logging.getLogger(__name__)

JOURNAL = "log.jsonl"


@dataclass(frozen=True)
class LoopOptions:
    """How to train.

    Args:
        steps: number of steps; None to find it from `minutes`.
        minutes: wall-clock budget of the whole run, reading data and compiling included.
        pause_after: stop with a checkpoint after so many minutes, to be resumed.
        learning_rate: after the warm-up.
        warmup: steps of linear warm-up.
        decay: of the moving average of weights.
        clip: largest norm of the gradient.
        speed: see `stepper.SPEEDS`.
        log_every, validate_every, checkpoint_every: steps.
        resume: go on from the checkpoint in the folder.
    """

    steps: int | None = None
    minutes: float | None = None
    pause_after: float | None = None
    learning_rate: float = 6e-4
    warmup: int = 300
    decay: float = 0.999
    clip: float = 1.0
    speed: str = "auto"
    log_every: int = 100
    validate_every: int = 2000
    checkpoint_every: int = 2000
    resume: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a training; `paused`: stopped early to be resumed; `figures`: of the last validation."""

    steps: int
    total: int | None
    seconds: float
    loss: float
    paused: bool
    figures: dict[str, float] = field(default_factory=dict)


class Loop:
    """Trains a task in a folder.

    Args:
        task: what to train.
        options: how.
        folder: gets checkpoint.pt and log.jsonl.
        arguments: JSON-like record of what the run was started with; a resumed run must have the same.
        started: `time.monotonic()` when the time budget began.
    """

    def __init__(
        self,
        task: Task,
        options: LoopOptions,
        folder: Path,
        arguments: dict[str, Any],
        started: float | None = None,
    ) -> None:
        self.task, self.options, self.folder, self.arguments = task, options, folder, arguments
        self.started = time.monotonic() if started is None else started
        self.average = MovingAverage(task.trained, task.averaged, options.decay)
        self.stepper = Stepper(task, options.learning_rate, self.average, options.clip, options.speed)
        self.pace = Pace(
            options.steps, options.minutes, self.started, reserve=min(20.0, 6.0 * (options.minutes or 0))
        )
        self.done = 0
        self.seconds_before = 0.0
        self.loss = math.nan
        self._logged_at = 0
        folder.mkdir(parents=True, exist_ok=True)
        if options.resume:
            self._resume()

    def run(self) -> Outcome:
        """Trains to the end, the pause, or an interrupt (which leaves a checkpoint).

        Raises:
            UserError: the loss is not finite, or the disk is full.
        """
        self._logged_at = self.done
        try:
            paused = self._train()
        except KeyboardInterrupt:
            self._checkpoint()
            log.info("Interrupted after %d steps; --resume goes on from there.", self.done)
            raise
        self._checkpoint()
        if self.done > self._logged_at:
            self._report()
        figures = self._validate()
        return Outcome(self.done, self.pace.total, self._seconds(), self.loss, paused, figures)

    def _train(self) -> bool:
        options = self.options
        while not self.pace.finished(self.done, time.monotonic()):
            if self._pause_is_due():
                return True
            self._one_step()
            if self.done % options.log_every == 0:
                self._report()
            if self.done % options.validate_every == 0:
                self._validate()
            if self.done % options.checkpoint_every == 0:
                self._checkpoint()
        return False

    def _one_step(self) -> None:
        options, step = self.options, self.done
        self.task.prepare(step)
        rate = learning_rate(options.learning_rate, step, self.pace.total, options.warmup)
        self.stepper.set_learning_rate(rate)
        self.average.set_step(step)
        self.stepper.step(self.task.variant(step))
        self.done += 1

    def _pause_is_due(self) -> bool:
        limit = self.options.pause_after
        return limit is not None and time.monotonic() - self.started >= limit * 60

    def _report(self) -> None:
        """Reads the mean loss off the device; this is the only place where the loop waits for it."""
        self.loss = mean_and_reset(self.stepper.loss_sum, self.done - self._logged_at)
        self._logged_at = self.done
        if not math.isfinite(self.loss):
            raise UserError(
                f"Training diverged: the loss is {self.loss} at step {self.done}. Lower --learning-rate."
            )
        now = time.monotonic()
        if self.stepper.ready:
            self.pace.observe(self.done, now)
        left = self.pace.seconds_left(self.done, now)
        speed = self.pace.seconds_a_step(self.done, now) * 1000
        log.info(
            "step %d/%s  loss %.5f  %.1f ms a step  %s left",
            self.done, self.pace.total or "?", self.loss, speed, "?" if left is None else f"{left:.0f} s",
        )  # fmt: skip
        self._write({"loss": self.loss, "ms_a_step": round(speed, 2)})

    def _validate(self) -> dict[str, float]:
        figures = {name: round(value, 5) for name, value in self.task.validate().items()}
        log.info("step %d  held back: %s", self.done, "  ".join(f"{k} {v:.4f}" for k, v in figures.items()))
        self._write({"validation": figures})
        return figures

    def _write(self, entry: dict[str, Any]) -> None:
        line = {"step": self.done, "total": self.pace.total, "seconds": round(self._seconds(), 1), **entry}
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def _checkpoint(self) -> None:
        content = {
            "step": self.done,
            "total": self.pace.total,
            "seconds": self._seconds(),
            "arguments": self.arguments,
            "trained": {name: module.state_dict() for name, module in self.task.trained.items()},
            "averaged": {name: module.state_dict() for name, module in self.task.averaged.items()},
            "optimizer": self.stepper.optimizer.state_dict(),
            "random": random_state(self.task.device),
        }
        write_checkpoint(self.folder, content)

    def _resume(self) -> None:
        saved = read_checkpoint(self.folder)
        differing = [key for key, value in self.arguments.items() if saved["arguments"].get(key) != value]
        if differing:
            raise UserError(
                f"{self.folder / CHECKPOINT} was made with other settings ({', '.join(differing)}). "
                "Repeat the command that made it, with --resume added, or choose another --out."
            )
        for name, module in self.task.trained.items():
            module.load_state_dict(saved["trained"][name])
            self.task.averaged[name].load_state_dict(saved["averaged"][name])
        self.stepper.load_optimizer(saved["optimizer"])
        restore_random_state(saved["random"], self.task.device)
        self.done, self.seconds_before = saved["step"], saved["seconds"]
        if self.options.steps is None and saved["total"] is not None:
            self.pace.fix(saved["total"])
        log.info("Going on from step %d of %s.", self.done, self.pace.total or "?")
