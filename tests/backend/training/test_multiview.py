# SPDX-License-Identifier: GPL-3.0-or-later
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from backend.diffusion import MultiViewDiffusion
from backend.errors import UserError
from backend.training.average import MovingAverage
from backend.training.datasets import MultiViewDataset
from backend.training.multiview import JOINED, SINGLE, MultiViewOptions, MultiViewTask
from backend.training.stepper import Stepper

Datasets = tuple[MultiViewDataset, MultiViewDataset]
MakeModel = Callable[[], MultiViewDiffusion]


def _task(make_model: MakeModel, datasets: Datasets, **options: Any) -> MultiViewTask:
    task = MultiViewTask(
        make_model(), *datasets, MultiViewOptions(**{"batch": 2, "backgrounds": 2, **options})
    )
    task.prepare(0)
    return task


def test_seven_of_ten_steps_are_joined(make_model: MakeModel, datasets: Datasets) -> None:
    task = _task(make_model, datasets)
    assert [sum(task.variant(step) == JOINED for step in range(n)) for n in (10, 100, 1000)] == [7, 70, 700]
    assert set(task.variants) == {JOINED, SINGLE}
    assert _task(make_model, datasets, joined=1.0).variants == (JOINED,)
    assert _task(make_model, datasets, joined=0.0).variants == (SINGLE,)


def test_what_the_unet_is_given(
    make_model: MakeModel, datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _task(make_model, datasets, batch=3)
    calls: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]] = []
    original = task.model.predict_noise

    def spy(latents: Any, t: Any, context: Any, camera: Any, views: int) -> torch.Tensor:
        calls.append((t, context, camera, views))
        return original(latents, t, context, camera, views)

    monkeypatch.setattr(task.model, "predict_noise", spy)
    task.loss(JOINED)
    t, context, camera, views = calls.pop()
    assert views == 4
    assert (t.view(3, 4) == t.view(3, 4)[:, :1]).all()
    assert torch.equal(context.view(3, 4, -1)[:, 0], context.view(3, 4, -1)[:, 3])
    known = datasets[0].cameras.flatten(0, 1)
    assert all((row == known).all(1).any() for row in camera)
    task.loss(SINGLE)
    t, context, camera, views = calls.pop()
    assert views == 1
    assert len(t) == len(context) == 12
    assert not camera.any()
    assert len(set(t.tolist())) > 3


def test_dropped_text_is_the_empty_prompt(
    make_model: MakeModel, datasets: Datasets, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _task(make_model, datasets, text_dropout=1.0)
    seen: list[torch.Tensor] = []
    hook = task.text.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    task.loss(JOINED)
    hook.remove()
    assert torch.equal(seen[0], task.text.tokenize([""]).expand(2, -1))


def test_min_snr_weights(make_model: MakeModel, datasets: Datasets) -> None:
    task = _task(make_model, datasets)
    t = torch.arange(1000)
    signal = task.model.schedule.alphas_cumprod
    ratio = signal / (1 - signal)
    weight = task._weight(t)
    assert (weight[ratio <= 5] == 1).all()
    torch.testing.assert_close((weight * ratio)[ratio > 5], torch.full_like(ratio[ratio > 5], 5.0))
    assert (_task(make_model, datasets, min_snr=0.0)._weight(t) == 1).all()


class _Synchronisations(TorchDispatchMode):
    """Collects operations that make the host wait or copy: they cannot be captured in a CUDA graph."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(part in str(func) for part in ("_local_scalar_dense", "nonzero", "lift_fresh", "_unique")):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("variant", [JOINED, SINGLE])
def test_a_step_never_waits_for_the_device(make_model: MakeModel, datasets: Datasets, variant: str) -> None:
    task = _task(make_model, datasets)
    average = MovingAverage(task.trained, task.averaged, 0.9)
    task.loss(variant)
    with _Synchronisations() as watch:
        task.loss(variant).backward()
        torch.nn.utils.clip_grad_norm_(task.unet.parameters(), 1.0)
        average.update()
    assert watch.found == []
    with _Synchronisations() as watch:
        float(torch.ones(1))
    assert watch.found  # the watch does see one


def test_it_learns_and_text_and_unet_both_move(make_model: MakeModel, datasets: Datasets) -> None:
    task = _task(make_model, datasets, batch=4)
    before = {name: [p.clone() for p in module.parameters()] for name, module in task.trained.items()}
    stepper = Stepper(task, 5e-3, MovingAverage(task.trained, task.averaged, 0.8), speed="eager")
    first = task.validate()["noise_error"]
    for step in range(40):
        stepper.step(task.variant(step))
    assert task.validate()["noise_error"] < 0.9 * first
    for name, module in task.trained.items():
        moved = [not torch.equal(a, b) for a, b in zip(before[name], module.parameters(), strict=True)]
        assert sum(moved) > 0.9 * len(moved)


def test_validation_is_repeatable_and_leaves_the_random_state(
    make_model: MakeModel, datasets: Datasets
) -> None:
    task = _task(make_model, datasets)
    state = torch.get_rng_state()
    assert task.validate() == task.validate()
    assert torch.equal(torch.get_rng_state(), state)


def test_unknown_words_of_captions_are_named(make_model: MakeModel, datasets: Datasets) -> None:
    datasets[0].captions[0] = "a red teapot"
    with pytest.raises(UserError, match="teapot"):
        _task(make_model, datasets)
