# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes and scores the held-out prompts, several processes at once."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import UserError
from backend.evaluation.heldout import HeldOut, Reference, load_heldout, load_reference
from backend.evaluation.scoring import Score, score_mesh
from backend.evaluation.workers import workers
from backend.mesh.glb_reader import read_glb

MESH, SECONDS = "mesh.glb", "seconds.json"
HEARING = 0.5
"""Seconds after which Ctrl-C is heard at the latest."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One prompt for a worker.

    reference: folder of the reference. heldout: folder of all. folder: where the mesh is or shall be.
    settings: of the generation, None to score the mesh that is there.
    """

    reference: Path
    heldout: Path
    folder: Path
    settings: Mapping[str, Any] | None


@dataclass(frozen=True)
class Finished:
    """A prompt's score and its views as they were judged, (8, H, W, 4) uint8, None without a mesh."""

    score: Score
    views: NDArray[np.uint8] | None


def choose(references: Sequence[Reference], count: int) -> list[Reference]:
    """`count` references spread evenly over all of them, so that every sort is among them."""
    if not 1 <= count <= len(references):
        raise UserError(f"There are {len(references)} held-out prompts; {count} can't be chosen of them.")
    places = np.linspace(0, len(references) - 1, count).round().astype(int)
    return [references[place] for place in places]


def run_all(
    tasks: Sequence[Task], references: Sequence[Reference], jobs: int, begun: Callable[[Reference], None]
) -> Generator[Finished, None, None]:
    """Results in the order they are finished; a prompt that fails gives a score with its error.

    Every process gets an equal share of the processor's cores. `begun` is called when one gets its prompt.
    Whatever ends this early, Ctrl-C too, ends the processes at once.
    """
    waiting = deque(zip(tasks, references, strict=True))
    running: dict[Future[Finished], Reference] = {}
    with workers(jobs, max(1, available_cores() // jobs)) as submit:
        while waiting or running:
            # Not all at once: a process would fetch its next prompt before it has finished the first.
            while waiting and len(running) < jobs:
                task, reference = waiting.popleft()
                begun(reference)
                running[submit(run_one, task)] = reference
            # On Windows Ctrl-C is not heard in the middle of a wait.
            for future in wait(running, timeout=HEARING, return_when=FIRST_COMPLETED).done:
                yield _result(future, running.pop(future))


def run_one(task: Task) -> Finished:
    """Makes (where settings are given) and scores one prompt, in this process.

    Raises UserError when the mesh is missing or can't be made.
    """
    seconds = _generate(task) if task.settings is not None else _known_seconds(task.folder)
    reference, heldout = load_reference(task.reference), _everything(task.heldout)
    score, views = score_mesh(read_glb(task.folder / MESH), reference, heldout, seconds)
    return Finished(score, np.rint(views * 255).astype(np.uint8))


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _generate(task: Task) -> float:
    from backend.pipeline import CHECKPOINT, generate
    from backend.settings import GenerateSettings

    assert task.settings is not None
    for name in (CHECKPOINT, MESH, SECONDS):  # an interrupted run must not shorten this one
        (task.folder / name).unlink(missing_ok=True)
    began = time.perf_counter()
    generate(GenerateSettings.from_values(task.settings), task.folder)
    seconds = time.perf_counter() - began
    (task.folder / SECONDS).write_text(json.dumps({"seconds": round(seconds, 2)}), encoding="utf-8")
    return seconds


def _known_seconds(folder: Path) -> float | None:
    try:
        return float(json.loads((folder / SECONDS).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not a folder this command made


_loaded: dict[Path, HeldOut] = {}


def _everything(folder: Path) -> HeldOut:
    """All references, read once a process."""
    if folder not in _loaded:
        _loaded[folder] = load_heldout(folder)
    return _loaded[folder]


def _result(future: Future[Finished], reference: Reference) -> Finished:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, (BrokenProcessPool, UserError)):
        message = str(error)
    else:
        log.error("%s: this should not have happened", reference.prompt, exc_info=error)
        message = f"{type(error).__name__}: {error}"
    return Finished(Score(reference.slug, reference.prompt, error=message), None)
