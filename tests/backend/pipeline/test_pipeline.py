# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way from a prompt to a mesh, with a tiny random model: that it works, not what comes out."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.diffusion import MultiViewDiffusion, storage
from backend.diffusion.storage import load, save
from backend.errors import Cancelled, UserError
from backend.mesh import read_glb
from backend.pipeline import CHECKPOINT, MESH, PREVIEW, SETTINGS, Result
from backend.progress import Progress
from backend.settings import GenerateSettings
from backend.training.architecture import (
    build_tiny_encoder,
)
from tests.backend.pipeline.jobs import STEPS, Run, Stop, vertices


def test_the_folder_holds_a_textured_mesh(finished: tuple[Result, Path, list[Progress]]) -> None:
    result, folder, _ = finished
    mesh = read_glb(folder / MESH)
    assert (result.mesh, result.preview) == (folder / MESH, folder / PREVIEW)
    assert 0 < len(mesh.faces) == result.faces <= 500
    assert mesh.texture is not None
    assert mesh.texture.shape[:2] == (64, 64)
    assert np.abs(mesh.vertices).max() <= 1
    # The checkpoint is gone, and nothing half-written is left.
    assert sorted(file.name for file in folder.iterdir()) == sorted([MESH, PREVIEW, SETTINGS])
    assert GenerateSettings.model_validate_json((folder / SETTINGS).read_text()).prompt == "a red mug"


def test_progress_only_grows_and_ends_at_one(finished: tuple[Result, Path, list[Progress]]) -> None:
    _, _, told = finished
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, pytest.approx(1.0))
    assert list(dict.fromkeys(progress.stage for progress in told)) == [
        "load",
        "distil",
        "mesh",
        "texture",
        "save",
    ]
    steps = [progress.step for progress in told if progress.stage == "distil"]
    assert steps == list(range(STEPS + 1))
    assert [progress.step for progress in told if progress.preview == PREVIEW] == [5, 10, STEPS]


def test_the_seed_decides(run: Run, finished: tuple[Result, Path, list[Progress]], tmp_path: Path) -> None:
    _, folder, _ = finished
    run(tmp_path / "same")
    run(tmp_path / "other", seed=1)
    assert vertices(tmp_path / "same") == vertices(folder)
    assert vertices(tmp_path / "other") != vertices(folder)


@pytest.mark.parametrize("preset", ["paper", "paper-shaded"])
def test_the_paper_recipes_go_through_both_stages(run: Run, preset: str, tmp_path: Path) -> None:
    tiny = {"hash_levels": 3, "hash_log2_size": 8, "hash_finest": 32, "ray_chunk": 1000}
    refined = {"views_per_step": 4, "refine_render_size": 24, "occupancy_resolution": 16}
    told: list[Progress] = []
    result = run(tmp_path, preset=preset, report=told.append, **tiny, **refined)
    assert result.faces > 0
    assert [progress.step for progress in told if progress.stage == "distil"] == list(range(STEPS + 1))


def test_out_of_memory_in_the_middle_goes_on_with_smaller_parts(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from backend.radiance import pictures

    render, limits = pictures.render, []

    def scarce(field: Any, occupancy: Any, origins: torch.Tensor, *rest: Any, **named: Any) -> Any:
        limits.append(len(origins))
        if len(origins) > 2100 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return render(field, occupancy, origins, *rest, **named)

    monkeypatch.setattr(pictures, "render", scarce)
    assert run(tmp_path, render_size=32).faces > 0  # 4096 rays a step
    assert "2048 rays at a time" in caplog.text
    assert limits.count(4096) == 1


def test_what_will_take_long_is_said_once_and_not_in_every_report(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Progress] = []
    with caplog.at_level("WARNING"), pytest.raises(Cancelled):
        run(tmp_path, encoding="hash", report=told.append, cancelled=Stop(after=1))
    assert caplog.text.count("made for a GPU") == 1
    assert {progress.message for progress in told} == {
        "Loading the model",
        "Loading the model tiny",
        "Shaping the object",
    }


def test_half_precision_on_a_processor_is_said_to_be_slow() -> None:
    from backend.pipeline import _slow

    assert "fp16" in " ".join(_slow("cpu", "dense", "fp16"))
    assert _slow("cpu", "dense", "fp32") == _slow("cuda", "hash", "fp16") == ()


@pytest.mark.parametrize(
    ("settings", "beginning"),
    [
        ({"prompt": "a red dragon"}, ""),
        ({"negative_prompt": "dragon"}, r"The negative prompt can't be used\. "),
    ],
)
def test_an_unknown_word_is_told_with_the_known_ones_before_the_model_is_loaded(
    run: Run, settings: dict[str, str], beginning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    with pytest.raises(
        UserError, match=rf"^{beginning}The model .*does not know 'dragon'.*a, blue, box, mug"
    ):
        run(tmp_path, **settings)
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_folder_that_cant_be_is_told_before_the_model_is_loaded(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told: list[Progress] = []
    with pytest.raises(UserError, match="can't be written to"):
        run(tmp_path / "file" / "job", report=told.append)
    assert told == []


def test_every_seed_and_step_draws_its_own_random_numbers_on_the_cpu() -> None:
    from backend.distillation import Distillation

    drawn = set()
    for seed in (0, 1, 2**31 - 1):
        distillation = object.__new__(Distillation)
        distillation.seed, distillation.device = seed, torch.device("cpu")
        for step in (0, 5):
            distillation.step_number = step
            drawn.add(torch.rand(1, generator=distillation._generator()).item())
    assert len(drawn) == 6


def test_a_small_encoder_that_is_not_there_is_told_before_the_model_is_loaded(
    run: Run, tmp_path: Path
) -> None:
    told: list[Progress] = []
    with pytest.raises(UserError, match=r"tiny_encoder_until is 0\.5, but the model .*tiny has no small"):
        run(tmp_path, tiny_encoder_until=0.5, report=told.append)
    assert {progress.message for progress in told} == {"Loading the model"}


def test_a_small_encoder_reads_the_share_of_the_steps_it_was_asked_for(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = load(model, parts=("vae",))
    assert own.vae is not None
    tiny = build_tiny_encoder(own.vae, 8)
    save(MultiViewDiffusion(own.config, tiny_vae=tiny), tmp_path / "beside")
    shutil.copytree(tmp_path / "beside" / "tiny_vae", model / "tiny_vae")
    asked = []
    monkeypatch.setattr(
        MultiViewDiffusion,
        "encode_images_tiny",
        lambda self, images: asked.append(1) or self.encode_images(images),
    )
    try:
        run(tmp_path / "job", tiny_encoder_until=0.5)
    finally:
        shutil.rmtree(model / "tiny_vae")
    assert len(asked) == STEPS / 2
