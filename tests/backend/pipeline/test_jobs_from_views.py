# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that start from sampled views."""

from pathlib import Path

import pytest

from backend.errors import Cancelled
from backend.pipeline import CHECKPOINT, Result
from backend.progress import Progress
from tests.backend.pipeline.jobs import Run, Stop, vertices


def test_a_start_from_sampled_views_is_drawn_by_the_seed_and_not_repeated_by_a_resumed_job(
    run: Run, finished: tuple[Result, Path, list[Progress]], tmp_path: Path
) -> None:
    told: list[Progress] = []
    few = {"start": "views", "steps": 10}
    with pytest.raises(Cancelled):
        run(tmp_path / "stopped", cancelled=Stop(after=4), report=told.append, **few)  # while it samples
    assert told[-1].stage == "sample"
    assert 0 < told[-1].step < told[-1].steps
    told.clear()
    with pytest.raises(Cancelled):
        run(
            tmp_path / "stopped",
            cancelled=lambda: any(progress.stage == "distil" and progress.step == 4 for progress in told),
            report=told.append,
            **few,
        )
    told.clear()
    run(tmp_path / "stopped", report=told.append, **few)
    assert not any("Sampling" in progress.message for progress in told)
    told.clear()
    run(tmp_path / "whole", report=told.append, **few)
    stages = ["load", "sample", "fit", "distil", "mesh", "texture", "save"]
    assert list(dict.fromkeys(progress.stage for progress in told)) == stages
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert vertices(tmp_path / "whole") == vertices(tmp_path / "stopped")
    run(tmp_path / "blob", **{**few, "start": "blob"})
    assert vertices(tmp_path / "blob") != vertices(tmp_path / "whole")


def test_views_without_an_object_are_told_of_in_the_mesh(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.start import views

    monkeypatch.setattr(views, "_agree", lambda cut_outs, bound: False)
    few = {"start": "views", "steps": 10}
    result = run(tmp_path / "whole", **few)
    assert ["show no object" in note for note in result.notes] == [True]
    with pytest.raises(Cancelled):
        run(tmp_path / "stopped", cancelled=Stop(after=14), **few)
    assert (tmp_path / "stopped" / CHECKPOINT).is_file()
    assert run(tmp_path / "stopped", **few).notes == result.notes
