# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of a job's memory, with made-up numbers, and against what was measured."""

from dataclasses import replace

import pytest

from backend.memory import estimation as memory
from backend.memory.estimation import estimate, field_parameters, stages
from backend.memory.facts import ModelFacts, decoder_elements, encoder_elements, unet_elements
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.hash_grid import HashGrid
from backend.settings import PRESETS, Numbers

PAPER = PRESETS["paper"].numbers
FULL = ModelFacts(
    image_size=256,
    latent_size=32,
    parameters={
        "unet": 867_572_164,
        "vae_encoder": 34_163_664,
        "vae_decoder": 49_490_199,
        "text": 340_000_000,
    },
    encoder_elements=encoder_elements((128, 256, 512, 512), 2),
    unet_elements=unet_elements((320, 640, 1280, 1280), [2] * 4),
    decoder_elements=decoder_elements((128, 256, 512, 512)),
)
TOY = ModelFacts(
    8, 2, {"unet": 1000, "vae_encoder": 100, "vae_decoder": 50, "text": 10},
    encoder_elements=5, unet_elements=7, decoder_elements=3,
)  # fmt: skip


def test_every_part_by_hand() -> None:
    numbers = replace(
        PAPER, refine_from=1.0, views_per_step=4, render_size=8, ray_chunk=0, samples_per_ray=10, hidden=64
    )
    parts = estimate(TOY, numbers, 2, "cuda").device
    assert parts["weights"] == 2 * 1100
    assert parts["image encoder"] == 4 * 8 * 8 * 5 * 2
    assert parts["network"] == 2 * 4 * 2 * 2 * 7 * 2  # twice the views, for guidance
    assert parts["rays"] == memory.RAY_BYTES * 4 * 8 * 8
    kept = 1.25 * (29 + 16 * 105 + 8 * 64)
    assert parts["samples"] == round(4 * 8 * 8 * 10 * (40 + max(0.15 * kept, 0.25 * 676)))
    assert parts["field"] == 16 * field_parameters(numbers, "cuda")


@pytest.mark.parametrize(
    ("views", "itemsize", "measured"), [(4, 2, 1.589e9), (8, 2, 3.178e9), (4, 4, 3.186e9)]
)
def test_the_published_models_encoder_as_measured(views: int, itemsize: int, measured: float) -> None:
    numbers = replace(PAPER, refine_from=1.0, views_per_step=views, ray_chunk=0)
    assert estimate(FULL, numbers, itemsize, "cuda").device["image encoder"] == pytest.approx(
        measured, rel=0.01
    )


@pytest.mark.parametrize(
    ("views", "itemsize", "measured"), [(4, 2, 144.3e6), (8, 2, 276.4e6), (8, 4, 550.8e6)]
)
def test_the_published_models_network_as_measured(views: int, itemsize: int, measured: float) -> None:
    numbers = replace(PAPER, refine_from=1.0, views_per_step=views, ray_chunk=0)
    assert estimate(FULL, numbers, itemsize, "cuda").device["network"] == pytest.approx(measured, rel=0.08)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_fields_parameters_are_those_of_the_encodings(device: str) -> None:
    dense, hashed = replace(PAPER, encoding="dense"), replace(PAPER, encoding="hash")
    auto = replace(PAPER, encoding="auto")
    assert field_parameters(dense, device) == sum(p.numel() for p in DenseGrid().parameters())
    assert field_parameters(hashed, device) == pytest.approx(HashGrid().table.numel(), rel=0.02)
    assert field_parameters(auto, device) == field_parameters(dense if device == "cpu" else hashed, device)


def test_the_larger_stage_counts() -> None:
    first, both = replace(PAPER, refine_from=1.0, ray_chunk=0), replace(PAPER, ray_chunk=0)
    assert stages(first) == [(8, 64)]
    assert stages(replace(PAPER, refine_from=0.0)) == [(4, 256)]
    assert stages(both) == [(8, 64), (4, 256)]
    assert estimate(FULL, both, 2, "cuda").device["rays"] == memory.RAY_BYTES * 4 * 256**2
    assert estimate(FULL, both, 2, "cuda").device_total > estimate(FULL, first, 2, "cuda").device_total


def test_parts_of_the_pictures_wait_for_the_guidance_to_be_over() -> None:
    whole, parts = replace(PAPER, ray_chunk=0), replace(PAPER, ray_chunk=4096)
    assert {"samples", "image encoder"} <= set(estimate(FULL, whole, 2, "cuda").device)
    few = estimate(FULL, parts, 2, "cuda").device
    assert "image encoder" in few
    assert "samples" not in few
    larger = estimate(FULL, replace(PAPER, ray_chunk=1 << 17), 2, "cuda").device
    assert "samples" in larger
    assert "image encoder" not in larger


@pytest.mark.parametrize(
    ("normals", "triton", "kept"),
    # Counted with saved_tensors_hooks for 16 levels and 64 hidden units.
    [
        ("none", False, 2221),
        ("analytic", False, 12701),
        ("finite", False, 9941),
        ("none", True, 697),
        ("analytic", True, 1129),
        ("finite", True, 2321),
    ],
)
def test_what_is_kept_of_a_sample_as_measured(normals: str, triton: bool, kept: int) -> None:
    numbers = PAPER if normals == "none" else replace(PAPER, orientation=1.0, normals=normals)
    assert memory._sampling(numbers, "hash", triton).kept == pytest.approx(kept, rel=0.1)


def test_kernels_need_less() -> None:
    plain, kernels = (estimate(FULL, PAPER, 2, "cuda", triton) for triton in (False, True))
    assert kernels.device_total < plain.device_total


def test_a_cpu_has_one_memory_and_the_mesh_may_be_the_peak() -> None:
    numbers = PRESETS["standard"].small
    need = estimate(TOY, numbers, 4, "cpu")
    assert need.device_total == 0
    assert need.host["libraries"] == memory.PROCESS_BYTES["cpu"]
    large = estimate(TOY, replace(numbers, texture_size=4096), 4, "cpu")
    assert large.host["mesh and texture"] == memory.TEXEL_BYTES * 4096**2 + memory.MESH_BASE
    assert large.host_total == sum(large.host.values())


def test_the_text_encoder_counts_where_it_is_the_largest() -> None:
    wordy = replace(TOY, parameters={**TOY.parameters, "text": 10**9})
    need = estimate(wordy, replace(PAPER, render_size=16, refine_from=1.0), 2, "cuda")
    assert need.device["text encoder"] == 2 * 10**9


def test_every_number_that_costs_memory_costs_more_when_it_is_larger() -> None:
    base = Numbers(ray_chunk=0)
    for name, larger in {
        "views_per_step": 64,
        "refine_render_size": 512,
        "samples_per_ray": 512,
        "hidden": 128,
        "hash_log2_size": 21,
    }.items():
        more = estimate(FULL, replace(base, **{name: larger}), 2, "cuda")
        assert more.device_total > estimate(FULL, base, 2, "cuda").device_total, name
    taller = estimate(FULL, replace(base, mesh_resolution=512), 2, "cuda")
    assert taller.host_total > estimate(FULL, base, 2, "cuda").host_total
