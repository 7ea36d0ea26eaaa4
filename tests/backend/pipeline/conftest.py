# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random model, and jobs with it: that they work, not what comes out."""

from pathlib import Path
from typing import Any

import pytest
import torch

from backend.diffusion import MultiViewDiffusion
from backend.diffusion.config import ModelConfig
from backend.diffusion.storage import save
from backend.pipeline import Result, generate
from backend.progress import Progress
from backend.settings import GenerateSettings
from backend.training.architecture import (
    AutoencoderShape,
    DenoiserShape,
    build_autoencoder,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from tests.backend.pipeline.jobs import STEPS, Run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model for pictures of 16 x 16 pixels that knows five words."""
    torch.manual_seed(5)
    shape = DenoiserShape((16, 32), layers=1, context=16, head_width=8, groups=4, text_layers=1)
    autoencoder = AutoencoderShape(16, (8, 8, 16), latent_channels=2, groups=4)
    text = build_text_encoder(shape, build_tokenizer(["a red mug", "blue box"], 8))
    made = MultiViewDiffusion(
        ModelConfig(name="tiny", image_size=16),
        build_unet(shape, 2, 4),
        build_autoencoder(autoencoder),
        text,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save(made, folder)
    return folder


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
