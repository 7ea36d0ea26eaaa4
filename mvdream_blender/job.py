# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of one job, as the panel and a script see it. Never imports bpy."""

import enum
import re
from dataclasses import dataclass, field
from typing import Any

from .errors import Unreachable

STAGES = {
    "load": "Loading the model",
    "sample": "Sampling the views",
    "fit": "Fitting a first shape",
    "distil": "Shaping the object",
    "mesh": "Extracting the mesh",
    "texture": "Painting the texture",
    "save": "Saving",
}


class Phase(enum.Enum):
    """Where a job is. The value is what the panel says."""

    STARTING = "Starting the backend"
    QUEUED = "Waiting for its turn"
    RUNNING = "Working"
    PLACING = "Placing the object"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        return self in (Phase.DONE, Phase.FAILED, Phase.CANCELLED)


# What becomes part of file names and of command lines: harmless letters only, and no dash in front.
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")

_PHASES = {
    "queued": Phase.QUEUED,
    "running": Phase.RUNNING,
    "done": Phase.PLACING,
    "failed": Phase.FAILED,
    "cancelled": Phase.CANCELLED,
}


@dataclass
class Job:
    """One job of the backend.

    Attributes:
        prompt: what the user asked for.
        settings: what was sent to the backend; its own, complete settings once it has answered.
        id: the backend's name for it; "" before it is submitted.
        fraction: 0..1 of the whole, never going back.
        seconds_left: the backend's estimate; None where it has none yet.
        files: names that can be fetched.
        error: the backend's sentence where it failed.
        resumable: where it failed: whether to go on with it can help.
        note: what the user should know about where the object went; "" mostly.
    """

    prompt: str
    settings: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    phase: Phase = Phase.STARTING
    stage: str = ""
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    files: tuple[str, ...] = ()
    error: str = ""
    resumable: bool = True
    note: str = ""
    cancel_asked: bool = False

    def apply(self, answer: dict[str, Any]) -> bool:
        """Take over what the backend says about the job. True where something to be shown has changed.

        Raises:
            Unreachable: the answer is that of no backend; nothing was taken over.
        """
        identifier, stage = str(answer.get("id") or ""), str(answer.get("stage") or "")
        if not _WORD.fullmatch(identifier) or (stage and not _WORD.fullmatch(stage)):
            raise Unreachable("What answers is not MVDream's backend: it names a job as none is named.")
        before = self._shown()
        self.id = identifier
        self.phase = _PHASES.get(answer.get("status", ""), self.phase)
        self.stage = stage
        self.step = int(answer.get("step") or 0)
        self.steps = int(answer.get("steps") or 0)
        self.fraction = max(self.fraction, min(1.0, float(answer.get("progress") or 0.0)))
        left = answer.get("seconds_left")
        self.seconds_left = None if left is None else max(0.0, float(left))
        self.message = answer.get("message") or ""
        self.files = tuple(map(str, answer.get("files") or ()))
        self.error = answer.get("error") or ""
        self.resumable = bool(answer.get("resumable", True))
        self.settings = dict(answer.get("settings") or self.settings)
        return self._shown() != before

    def _shown(self) -> tuple[Any, ...]:
        return (
            self.phase,
            self.stage,
            self.step,
            self.fraction,
            self.seconds_left,
            self.message,
            self.files,
            self.error,
        )

    @property
    def headline(self) -> str:
        """What is going on, in a few words: "Shaping the object, step 120 of 300"."""
        if self.cancel_asked and not self.phase.ended:
            return "Cancelling"
        if self.phase is Phase.PLACING:
            return self.message or self.phase.value
        if self.phase is not Phase.RUNNING:
            return self.phase.value
        text = STAGES.get(self.stage) or self.message or self.phase.value
        return f"{text}, step {self.step} of {self.steps}" if self.steps > 1 else text

    @property
    def time_left(self) -> str:
        """ "about 40 s left", "" where nobody knows."""
        if self.seconds_left is None or self.phase is not Phase.RUNNING:
            return ""
        return f"about {duration(self.seconds_left)} left"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "8 s", "40 s", "3 min", "1 h 20 min"."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
