# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random model, and jobs with it: that they work, not what comes out."""

from pathlib import Path
from typing import Any

import pytest

from backend.pipeline import Result, generate
from backend.progress import Progress
from backend.settings import GenerateSettings
from tests.backend.pipeline.jobs import STEPS, Run
from tests.backend.word_model import save_word_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model for pictures of 16 x 16 pixels that knows five words."""
    return save_word_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def run(model: Path) -> Run:
    """run(folder, settings..., report=, cancelled=) makes something in a few seconds at most."""

    def make(folder: Path, prompt: str = "a red mug", **changes: Any) -> Result:
        calls = {name: changes.pop(name) for name in ("report", "cancelled") if name in changes}
        small = {"render_size": 16, "samples_per_ray": 16, "mesh_resolution": 32, "texture_size": 64}
        numbers = {
            "steps": STEPS,
            "faces": 500,
            "preview_every": 5,
            "checkpoint_every": 3,
            "start": "blob",
            **small,
            **changes,
        }
        settings = GenerateSettings(prompt=prompt, model=str(model), device="cpu", **numbers)
        return generate(settings, folder, **calls)

    return make


@pytest.fixture(scope="module")
def finished(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path, list[Progress]]:
    """One whole job, its folder, and what it reported."""
    folder = tmp_path_factory.mktemp("jobs") / "new" / "folder"
    told: list[Progress] = []
    return run(folder, report=told.append), folder, told
