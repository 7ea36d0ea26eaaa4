# SPDX-License-Identifier: GPL-3.0-or-later
"""What a distillation does about memory and crashes, with a model that answers at once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from backend.diffusion.config import ModelConfig
from backend.diffusion.schedule import NoiseSchedule
from backend.distillation import Distillation
from backend.errors import UserError
from backend.kernel_switch import VARIABLE
from backend.settings import Numbers

NUMBERS = replace(
    Numbers(),
    steps=3,
    refine_from=1.0,
    views_per_step=4,
    render_size=32,
    samples_per_ray=8,
    encoding="dense",
    hidden=8,
    network_bias="yes",
    occupancy_resolution=8,
    occupancy_every=2,
    ray_chunk=0,
)


class Model:
    """Latents are a shrunken picture; there is never any noise in it. What is let go is noted."""

    config = ModelConfig(name="none", image_size=8)
    latent_shape = (3, 8, 8)
    schedule = NoiseSchedule()
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.released: list[str] = []
        self.tiny = 0

    def encode_images(self, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2) + 0 * noise

    def encode_images_tiny(self, images: torch.Tensor) -> torch.Tensor:
        self.tiny += 1
        return images.permute(0, 3, 1, 2)

    def predict_noise(self, latents: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.zeros_like(latents)

    def release_graphs(self) -> None:
        self.released.append("graphs")

    def drop_image_decoder(self) -> None:
        self.released.append("decoder")

    def drop_tiny_encoder(self) -> None:
        self.released.append("tiny encoder")


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def make(model: Any) -> Callable[[], Distillation]:
    def made() -> Distillation:
        context = torch.zeros(1, 2, 3)
        return Distillation(model, context, context, NUMBERS, seed=1)

    return made


def fail(
    monkeypatch: pytest.MonkeyPatch, distillation: Distillation, part: str, errors: list[Exception]
) -> None:
    """Lets one part of a step fail with each error once, before it works."""
    works = getattr(distillation, part)

    def scarce(*given: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return works(*given)

    monkeypatch.setattr(distillation, part, scarce)


def test_graphs_are_let_go_with_the_last_step(make: Callable[[], Distillation], model: Model) -> None:
    distillation = make()
    distillation.step()
    distillation.step()
    assert model.released == []
    distillation.step()
    assert distillation.done
    assert model.released == ["graphs"]


def test_the_small_encoder_reads_the_first_steps_and_is_let_go(model: Any, tmp_path: Path) -> None:
    context = torch.zeros(1, 2, 3)
    numbers = replace(NUMBERS, tiny_encoder_until=0.5)  # two of three steps
    distillation = Distillation(model, context, context, numbers, seed=1)
    distillation.step()
    assert (model.tiny, model.released) == (1, [])
    distillation.step()
    assert (model.tiny, model.released) == (2, ["tiny encoder"])
    distillation.save(tmp_path / "checkpoint", "me")
    distillation.step()
    assert model.tiny == 2
    model.released.clear()
    resumed = Distillation(model, context, context, numbers, seed=1)
    assert resumed.resume(tmp_path / "checkpoint", "me")
    assert "tiny encoder" in model.released


@pytest.mark.parametrize("part", ["_move", "_look_around", "_pictures"])
@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")],
)
def test_where_memory_runs_out_graphs_are_let_go_and_less_is_rendered_at_a_time(
    make: Callable[[], Distillation],
    model: Model,
    part: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    distillation = make()
    fail(monkeypatch, distillation, part, [error])
    distillation.step()
    assert distillation.step_number == 1
    assert distillation.chunk == 2048
    assert model.released == ["graphs"]


def test_a_shortage_that_nothing_helps_against_comes_out(
    make: Callable[[], Distillation], monkeypatch: pytest.MonkeyPatch
) -> None:
    distillation = make()
    fail(monkeypatch, distillation, "_move", [torch.OutOfMemoryError("CUDA out of memory")] * 9)
    with pytest.raises(torch.OutOfMemoryError):
        distillation.step()
    assert distillation.chunk == 1024
    assert distillation.step_number == 0


def test_a_crash_of_the_card_names_the_way_out_and_is_not_tried_again(
    make: Callable[[], Distillation], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    distillation = make()
    error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    fail(monkeypatch, distillation, "_step", [error])
    with pytest.raises(UserError, match=VARIABLE):
        distillation.step()
    assert model.released == []


def test_a_resumed_one_catches_up_and_needs_no_image_decoder(
    make: Callable[[], Distillation], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = make(), make()
    before.step()
    before.save(tmp_path / "at", "job")
    caught: list[bool] = []
    monkeypatch.setattr(after.ahead, "catch_up", lambda: caught.append(True))
    assert not after.resume(tmp_path / "none", "job")
    assert (caught, model.released) == ([], [])
    assert after.resume(tmp_path / "at", "job")
    assert (caught, model.released, after.step_number) == ([True], ["decoder"], 1)
