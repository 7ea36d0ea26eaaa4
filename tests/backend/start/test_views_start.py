# SPDX-License-Identifier: GPL-3.0-or-later
"""The start as a distillation sees it, with a sampler whose pictures are given."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from backend.cameras import ViewRanges
from backend.errors import Cancelled
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import DensityActivation, RadianceField
from backend.radiance.occupancy import OccupancyGrid
from backend.start import views


class Model:
    """What is let go of, in order."""

    def __init__(self) -> None:
        self.released: list[str] = []

    def release_graphs(self) -> None:
        self.released.append("graphs")

    def drop_image_decoder(self) -> None:
        self.released.append("decoder")


def ignore(done: int, steps: int) -> None:
    """Nobody is told."""


@pytest.fixture
def distillation() -> Any:
    """What a start needs of a distillation; there is no network in it."""
    generator = torch.Generator().manual_seed(0)
    field = RadianceField(DenseGrid((4, 8), generator=generator), 0.8, 8, DensityActivation(40.0), generator)
    context = torch.zeros(1, 2, 3)
    return SimpleNamespace(
        field=field,
        occupancy=OccupancyGrid(0.8, 16),
        numbers=SimpleNamespace(guidance_scale=6.0, guidance_rescale=0.5, samples_per_ray=16, steps=60),
        guidance=SimpleNamespace(model=Model(), context=context, negative_context=context),
        ranges=ViewRanges((20.0, 40.0), (0.0, 30.0), (0.9, 1.0)),
        views=4,
        device=torch.device("cpu"),
        seed=3,
    )


def show(monkeypatch: pytest.MonkeyPatch, pictures: torch.Tensor) -> None:
    """Makes the sampler draw these."""
    monkeypatch.setattr(views, "draw_noise", lambda model, seed: torch.zeros(4, 1, 1, 1))
    monkeypatch.setattr(views, "before_colour", lambda model, noise, colour: noise)
    monkeypatch.setattr(views, "Sampler", lambda *settings: lambda *inputs: None)
    monkeypatch.setattr(views, "decode", lambda model, latents, at_once: pictures)


def test_views_without_an_object_leave_the_ball(
    distillation: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    show(monkeypatch, torch.tensor(views.KEY).expand(4, 16, 16, 3))
    before = [each.clone() for each in distillation.field.parameters()]
    sentence = views.start_from_views(distillation, ignore, ignore)
    assert all(map(torch.equal, before, distillation.field.parameters()))
    assert "show no object" in sentence
    assert "240 steps are enough" in sentence
    assert sentence in caplog.text
    assert distillation.guidance.model.released == ["graphs", "graphs", "decoder"]


def test_an_object_in_all_views_stands_in_the_field(
    distillation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = torch.tensor(views.KEY).repeat(4, 16, 16, 1)
    pictures[:, 5:11, 5:11] = torch.tensor((0.8, 0.1, 0.1))
    show(monkeypatch, pictures)
    calls: list[tuple[int, int]] = []
    # The sampler that is given here takes no passes.
    sentence = views.start_from_views(distillation, ignore, lambda done, steps: calls.append((done, steps)))
    assert sentence == ""
    assert calls == [(done, views.PICTURE_STEPS) for done in range(views.PICTURE_STEPS + 1)]
    with torch.no_grad():
        density = distillation.field.density(torch.tensor([(0.0, 0, 0), (0.6, 0, 0), (0, 0, -0.6)]))
    assert density[0] > 10 > 5 > density[1:].max()
    assert 0 < distillation.occupancy.fraction() < 0.8  # it was looked at: a fresh one is all occupied


def test_it_can_be_ended_while_it_is_fitted(distillation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.tensor(views.KEY).repeat(4, 16, 16, 1)
    pictures[:, 5:11, 5:11] = 0.8
    show(monkeypatch, pictures)

    def end(done: int, steps: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        views.start_from_views(distillation, ignore, end)


@pytest.mark.parametrize("where", ["decode", "fit"])
def test_where_memory_runs_out_it_starts_from_the_fresh_ball(
    distillation: Any, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = torch.tensor(views.KEY).repeat(4, 16, 16, 1)
    pictures[:, 5:11, 5:11] = 0.8
    show(monkeypatch, pictures)

    def run_out(*given: Any) -> Any:
        with torch.no_grad():
            for parameter in distillation.field.parameters():
                parameter.add_(1)
            distillation.occupancy.mask.zero_()
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(views, where, run_out)
    before = [each.clone() for each in distillation.field.parameters()]
    sentence = views.start_from_views(distillation, ignore, ignore)
    assert all(map(torch.equal, before, distillation.field.parameters()))
    assert distillation.occupancy.mask.all()
    assert "Memory ran out" in sentence
    assert sentence in caplog.text
    assert distillation.guidance.model.released[-2:] == ["graphs", "decoder"]


def test_another_fault_is_not_hidden(distillation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> Any:
        raise RuntimeError("shapes do not match")

    show(monkeypatch, torch.tensor(views.KEY).expand(4, 16, 16, 3))
    monkeypatch.setattr(views, "decode", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        views.start_from_views(distillation, ignore, ignore)
