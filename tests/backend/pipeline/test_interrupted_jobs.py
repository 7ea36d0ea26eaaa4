# SPDX-License-Identifier: GPL-3.0-or-later
"""What was stopped goes on, and what it made is kept."""

from pathlib import Path

import pytest

from backend.errors import Cancelled
from backend.pipeline import CHECKPOINT, MESH, Result
from backend.progress import Progress
from tests.backend.pipeline.jobs import STEPS, Run, Stop, vertices


def test_stopped_and_continued_is_the_same_as_never_stopped(
    run: Run, finished: tuple[Result, Path, list[Progress]], tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        run(tmp_path, cancelled=Stop(after=7))
    assert (tmp_path / CHECKPOINT).is_file()
    assert not (tmp_path / MESH).exists()
    told: list[Progress] = []
    run(tmp_path, report=told.append)
    # Stopped between two checkpoints all the same: it goes on from the very step.
    assert next(progress.step for progress in told if progress.stage == "distil") == 7
    assert vertices(tmp_path) == vertices(finished[1])
    assert not (tmp_path / CHECKPOINT).exists()


def test_what_is_stopped_at_the_mesh_goes_on_from_the_mesh(
    run: Run, finished: tuple[Result, Path, list[Progress]], tmp_path: Path
) -> None:
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        run(tmp_path, report=told.append, cancelled=lambda: told[-1].stage == "mesh", checkpoint_every=99)
    told.clear()
    run(tmp_path, report=told.append, checkpoint_every=99)
    assert [progress.step for progress in told if progress.stage == "distil"] == [STEPS]
    assert vertices(tmp_path) == vertices(finished[1])


def test_other_settings_start_anew(run: Run, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(tmp_path, cancelled=Stop(after=6))
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        run(tmp_path, "a blue box", report=told.append, cancelled=Stop(after=0))
    assert told[-1].step == 0
    # What the first had made is kept, also where the second is finished, and the first goes on with it.
    run(tmp_path, "a blue box")
    with pytest.raises(Cancelled):
        run(tmp_path, report=told.append, cancelled=Stop(after=0))
    assert told[-1].step == 6
