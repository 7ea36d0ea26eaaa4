# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import pytest
import torch

from backend import recipe
from backend.diffusion.config import ModelConfig
from backend.errors import UserError
from backend.radiance.backgrounds import LearnedBackground, RandomBackground
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.hash_grid import HashGrid
from backend.recipe import (
    Stage,
    calls_from,
    encodes_tiny,
    kind_of_normals,
    make_background,
    make_field,
    make_optimizer,
    orientation_weight,
    rate_factor,
    stage_at,
    view_ranges,
)
from backend.settings import PRESETS, Numbers

CPU = torch.device("cpu")
PAPER = PRESETS["paper"].numbers
SHADED = PRESETS["paper-shaded"].numbers
SMALL = PRESETS["standard"].small


def test_the_paper_refines_from_half_way() -> None:
    assert stage_at(PAPER, 0) == stage_at(PAPER, 4999) == Stage(8, 64)
    assert stage_at(PAPER, 5000) == stage_at(PAPER, 9999) == Stage(4, 256)
    assert stage_at(SMALL, 41) == Stage(4, 32)
    assert stage_at(SMALL, 42) == stage_at(SMALL, 59) == Stage(4, 48)


@pytest.mark.parametrize(
    ("numbers", "step", "expected"),
    [
        (PAPER, 0, [(8, False), (4, False)]),
        (PAPER, 4999, [(8, False), (4, False)]),
        (PAPER, 5000, [(4, False)]),
        (PAPER, 10_000, []),
        (replace(PAPER, tiny_encoder_until=0.7), 0, [(8, True), (4, True), (4, False)]),
        (replace(SMALL, tiny_encoder_until=1.0), 0, [(4, True)]),
    ],
)
def test_the_ways_networks_are_called_in(
    numbers: Numbers, step: int, expected: list[tuple[int, bool]]
) -> None:
    assert calls_from(numbers, step) == expected


def test_rates_warm_up_and_fall_to_a_tenth() -> None:
    numbers = replace(PAPER, steps=100, warmup=10, decay_from=0.5)
    assert rate_factor(numbers, 0) == pytest.approx(0.1)
    assert rate_factor(numbers, 9) == rate_factor(numbers, 50) == 1
    assert rate_factor(numbers, 75) == pytest.approx(0.55)
    assert rate_factor(numbers, 100) == pytest.approx(0.1)
    assert rate_factor(PAPER, 0) == rate_factor(PAPER, 9999) == 1


def test_orientation_grows_from_10_to_1000_over_5000_steps() -> None:
    assert [orientation_weight(SHADED, step) for step in (0, 2500, 5000, 9999)] == [10, 505, 1000, 1000]
    assert orientation_weight(PAPER, 5000) == 0


def test_cameras_are_the_models_unless_given() -> None:
    config = ModelConfig(name="m", image_size=256)
    assert view_ranges(PAPER, config).fov == (15, 60)
    assert view_ranges(replace(PAPER, fov=(30, 40)), config).fov == (30, 40)


def test_auto_means_what_the_device_is_good_at() -> None:
    auto = replace(SHADED, encoding="auto", normals="auto")
    cuda = torch.device("cuda")
    assert (auto.encoding_on(CPU.type), kind_of_normals(auto, CPU)) == ("dense", "finite")
    assert (auto.encoding_on(cuda.type), kind_of_normals(auto, cuda)) == ("hash", "analytic")
    assert kind_of_normals(PAPER, cuda) == "none"


def test_field_background_and_optimizer_are_the_ones_asked_for() -> None:
    small = replace(PAPER, hash_levels=4, hash_log2_size=10, hash_finest=64)
    field, background = make_field(small, 1.0, CPU, 3), make_background(small, 4, CPU, 3)
    assert isinstance(field.encoding, HashGrid)
    assert [level.resolution for level in field.encoding.levels] == [16, 26, 41, 64]
    assert isinstance(background, LearnedBackground)
    optimizer = make_optimizer(small, field, background)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.001, 0.001]
    held = sum(len(group["params"]) for group in optimizer.param_groups)
    assert held == len([*field.parameters(), *background.parameters()])
    dense, plain = make_field(SMALL, 0.8, CPU, 3), make_background(SMALL, 4, CPU, 3)
    assert isinstance(dense.encoding, DenseGrid)
    assert isinstance(plain, RandomBackground)
    assert len(make_optimizer(SMALL, dense, plain).param_groups) == 2


def test_the_seed_decides_the_fields_start() -> None:
    first, same, other = (make_field(SMALL, 0.8, CPU, seed).density_net[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_the_papers_networks_have_no_biases() -> None:
    small = replace(PAPER, hash_levels=2, hash_log2_size=8, hash_finest=32)
    field, background = make_field(small, 1.0, CPU, 0), make_background(small, 4, CPU, 0)
    layers = [*field.density_net, *field.colour_net, *background.net]
    assert all(layer.bias is None for layer in layers if isinstance(layer, torch.nn.Linear))
    assert make_field(SMALL, 0.8, CPU, 0).density_net[0].bias is not None


def test_analytic_normals_on_dense_grids_are_refused_where_pytorch_lacks_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense = replace(SHADED, encoding="dense")
    monkeypatch.setattr(recipe, "differentiates_twice", lambda: False)
    with pytest.raises(UserError, match="normals to finite"):
        kind_of_normals(dense, CPU)
    monkeypatch.setattr(recipe, "differentiates_twice", lambda: True)
    assert kind_of_normals(dense, CPU) == "analytic"


def test_with_published_models_no_recipe_encodes_with_a_small_encoder() -> None:
    assert not any(encodes_tiny(preset.numbers, 0) for preset in PRESETS.values())


@pytest.mark.parametrize(("share", "steps"), [(0.0, 0), (0.29, 3), (0.5, 5), (1.0, 10)])
def test_the_small_encoder_reads_the_first_share_of_the_steps(share: float, steps: int) -> None:
    numbers = replace(PAPER, steps=10, tiny_encoder_until=share)
    assert [encodes_tiny(numbers, step) for step in range(10)] == [True] * steps + [False] * (10 - steps)
