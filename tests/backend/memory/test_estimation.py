# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of a job's memory, with made-up numbers, and against what was measured."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backend.memory import estimation as memory
from backend.memory import rendering
from backend.memory.estimation import (
    Need,
    Surroundings,
    estimate,
    estimate_start,
    field_parameters,
    stages,
)
from backend.memory.facts import ModelFacts, decoder_elements, encoder_elements, unet_elements
from backend.memory.fitting import fit
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.hash_grid import HashGrid
from backend.settings import PRESETS, Numbers
from backend.start.fitting import RAYS as fitting_rays

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
PLAIN = Surroundings("cuda", 2)
FIELD_KERNELS = Surroundings("cuda", 2, "field")
ALL_KERNELS = Surroundings("cuda", 2, "field", graphs=True, fused=True)


def test_every_part_by_hand() -> None:
    numbers = replace(
        PAPER,
        refine_from=1.0,
        views_per_step=4,
        render_size=8,
        ray_chunk=0,
        samples_per_ray=10,
        hidden=64,
        occupancy_resolution=32,
    )
    parts = memory._Job(TOY, numbers, PLAIN).steps()[0]
    whole = estimate(TOY, numbers, PLAIN).device
    assert whole["weights"] == 2 * 1100
    assert parts["image encoder"] == 4 * 8 * 8 * 5 * 2
    assert parts["network"] == 2 * 4 * 2 * 2 * 7 * 2  # twice the views, for guidance
    assert parts["rays"] == rendering.RAY_BYTES * 4 * 8 * 8
    bins = 4 * 8 * 8 * 10
    seen, found = 0.78 * (0.5 + 4.5 / 32) ** 3, 0.78 * (0.58 + 4.5 / 32) ** 3
    kept = 1.3 * (29 + 16 * 105 + 8 * 64)
    assert parts["samples"] == round(bins * (40 + max(seen * kept, found * (320 + 8 * 64))))
    assert whole["field"] == 16 * field_parameters(numbers, "cuda")


@pytest.mark.parametrize(
    ("views", "itemsize", "measured"), [(4, 2, 1.589e9), (8, 2, 3.178e9), (4, 4, 3.186e9)]
)
def test_the_published_models_encoder_as_measured(views: int, itemsize: int, measured: float) -> None:
    numbers = replace(PAPER, refine_from=1.0, views_per_step=views, ray_chunk=0)
    assert estimate(FULL, numbers, Surroundings("cuda", itemsize)).device["image encoder"] == pytest.approx(
        measured, rel=0.01
    )


@pytest.mark.parametrize(
    ("views", "itemsize", "measured"), [(4, 2, 144.3e6), (8, 2, 276.4e6), (8, 4, 550.8e6)]
)
def test_the_published_models_network_as_measured(views: int, itemsize: int, measured: float) -> None:
    numbers = replace(PAPER, refine_from=1.0, views_per_step=views, ray_chunk=0)
    assert estimate(FULL, numbers, Surroundings("cuda", itemsize)).device["network"] == pytest.approx(
        measured, rel=0.08
    )


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_fields_parameters_are_those_of_the_encodings(device: str) -> None:
    dense, hashed = replace(PAPER, encoding="dense"), replace(PAPER, encoding="hash")
    auto = replace(PAPER, encoding="auto")
    assert field_parameters(dense, device) == sum(p.numel() for p in DenseGrid().parameters())
    assert field_parameters(hashed, device) == pytest.approx(HashGrid().table.numel(), rel=0.02)
    assert field_parameters(auto, device) == field_parameters(dense if device == "cpu" else hashed, device)


def test_fused_modules_are_the_networks_alone() -> None:
    numbers = replace(PAPER, refine_from=1.0, ray_chunk=0)
    plain = estimate(FULL, numbers, PLAIN).device
    networks = estimate(FULL, numbers, replace(PLAIN, fused=True)).device
    field = estimate(FULL, numbers, FIELD_KERNELS).device
    assert networks["image encoder"] == pytest.approx(memory.FUSED_ENCODER * plain["image encoder"])
    assert networks["samples"] == plain["samples"]
    assert field["image encoder"] == plain["image encoder"]
    assert field["samples"] < plain["samples"]


def test_a_start_from_views_by_hand() -> None:
    numbers = replace(PRESETS["standard"].small, start="views", hidden=8)
    job = memory._Job(TOY, numbers, replace(PLAIN, graphs=True))
    assert job.reading() == {"text encoder": 2 * 10, "image decoder": 2 * 50}
    sampling, decoding, fitting = job.start()
    assert sampling == {"network": 2 * (2 * 4 * 2 * 2 * 7 * 2), "image decoder": 2 * 50}
    assert decoding == {"picture": 8 * 8 * 3 * 2, "image decoder": 2 * 50}  # one by one
    assert set(fitting) == {"samples"}
    assert memory._Job(TOY, replace(numbers, start="blob"), PLAIN).start() == []
    assert fitting_rays == memory.START_RAYS


def test_a_decoder_counts_where_a_start_needs_it() -> None:
    large = replace(TOY, parameters={**TOY.parameters, "vae_decoder": 10**9}, decoder_elements=10**8)
    numbers = replace(PAPER, render_size=16, refine_from=1.0)
    views = replace(numbers, start="views")
    picture = 8 * 8 * 10**8 * 2
    for need in (estimate(large, views, PLAIN), estimate_start(large, views, PLAIN)):
        assert (need.device["image decoder"], need.device["picture"]) == (2 * 10**9, picture)
    assert estimate(large, numbers, PLAIN) == estimate(TOY, numbers, PLAIN)


def test_the_larger_stage_counts() -> None:
    first, both = replace(PAPER, refine_from=1.0, ray_chunk=0), replace(PAPER, ray_chunk=0)
    assert stages(first) == [(8, 64)]
    assert stages(replace(PAPER, refine_from=0.0)) == [(4, 256)]
    assert stages(both) == [(8, 64), (4, 256)]
    assert estimate(FULL, both, PLAIN).device["rays"] == rendering.RAY_BYTES * 4 * 256**2
    assert estimate(FULL, both, PLAIN).device_total > estimate(FULL, first, PLAIN).device_total


def test_parts_of_the_pictures_wait_for_the_guidance_to_be_over() -> None:
    whole, parts = replace(PAPER, ray_chunk=0), replace(PAPER, ray_chunk=4096)
    assert {"samples", "image encoder"} <= set(estimate(FULL, whole, PLAIN).device)
    few = estimate(FULL, parts, PLAIN).device
    assert "image encoder" in few
    assert "samples" not in few
    larger = estimate(FULL, replace(PAPER, ray_chunk=1 << 17), PLAIN).device
    assert "samples" in larger
    assert "image encoder" not in larger


def test_the_fields_kernels_by_hand() -> None:
    numbers = replace(
        PAPER,
        refine_from=0.0,
        refine_render_size=64,
        ray_chunk=1 << 13,
        occupancy_resolution=90,
        hash_levels=17,
    )
    found = 0.78 * 0.63**3
    job = memory._Job(TOY, numbers, FIELD_KERNELS)
    (parts,) = job.steps()
    assert parts["found samples"] == round(8 * found * 4 * 64 * 64 * 296)
    # Of 17 levels the features are kept, and get gradients.
    assert parts["samples"] == round((1 << 13) * 296 * found * (36 + 4 * (17 + 17)))
    lit = replace(numbers, orientation=1.0, normals="analytic")
    (parts,) = memory._Job(TOY, lit, FIELD_KERNELS).steps()
    assert parts["samples"] == round((1 << 13) * 296 * found * (36 + 174 + 3 * 4 * 17))
    assert job.field == pytest.approx(4 * 5.5 * field_parameters(numbers, "cuda"), rel=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"network_bias": "yes"},
        {"encoding": "dense"},
        {"orientation": 1.0, "normals": "finite"},
        {"hidden": 65},
    ],
)
def test_what_the_fields_kernels_cannot_do_counts_as_without_them(changes: dict) -> None:
    numbers = replace(PAPER, **changes)
    assert not rendering.is_fused(numbers, "cuda", "field")
    assert estimate(FULL, numbers, FIELD_KERNELS) == estimate(FULL, numbers, Surroundings("cuda", 2, "grid"))


def test_the_fields_kernels_are_asked_for_what_they_can_do() -> None:
    assert rendering.is_fused(PAPER, "cuda", "field")
    assert rendering.is_fused(PRESETS["paper-shaded"].numbers, "cuda", "field")
    assert not rendering.is_fused(PAPER, "cuda", "grid")


@pytest.mark.parametrize(
    ("preset", "reserved"),
    # GiB, by an H100 in bfloat16 with steps of 8 views of 64², at an occupancy grid of 32³.
    [("paper", 5.02), ("paper-shaded", 5.62)],
)
def test_a_whole_step_with_all_kernels_as_measured(preset: str, reserved: float) -> None:
    numbers = replace(PRESETS[preset].numbers, refine_from=1.0, ray_chunk=0, occupancy_resolution=32)
    need = estimate(FULL, numbers, ALL_KERNELS)
    context = 0.5
    assert need.device_total / 2**30 == pytest.approx(reserved + context, rel=0.05)


def test_graphs_of_the_larger_stage_are_still_there_when_the_next_begins() -> None:
    numbers = replace(PAPER, ray_chunk=4096)
    first = estimate(FULL, replace(numbers, refine_from=1.0), ALL_KERNELS).device
    both = memory._Job(FULL, numbers, ALL_KERNELS).steps()
    assert first["graphs"] == first["image encoder"] + first["network"]
    assert [step["graphs"] for step in both] == [first["graphs"]] * 2


@pytest.mark.parametrize(
    ("resolution", "fresh"),
    # Samples of all bins, in the paper's first or second stage.
    [(32, 2.07e6 / (8 * 64**2 * 296)), (32, 15.94e6 / (4 * 256**2 * 296)), (128, 9.3e6 / (4 * 256**2 * 296))],
)
def test_a_fresh_field_is_all_seen(resolution: int, fresh: float) -> None:
    numbers = replace(PAPER, occupancy_resolution=resolution)
    assert rendering.seen_share(numbers) == pytest.approx(fresh, rel=0.05)
    assert fresh < rendering.found_share(numbers) < 1.6 * fresh


@pytest.mark.parametrize(
    ("normals", "kind", "kept"),
    # Counted with saved_tensors_hooks for 16 levels and 64 hidden units.
    [
        ("none", "hash", 2221),
        ("analytic", "hash", 12701),
        ("finite", "hash", 9941),
        ("none", "triton", 697),
        ("analytic", "triton", 1129),
        ("finite", "triton", 2321),
    ],
)
def test_what_is_kept_of_a_sample_as_measured(normals: str, kind: str, kept: int) -> None:
    numbers = PAPER if normals == "none" else replace(PAPER, orientation=1.0, normals=normals)
    assert rendering.kept_bytes(numbers, kind) == pytest.approx(kept, rel=0.1)


def test_kernels_need_less() -> None:
    plain, grid, field = (
        estimate(FULL, PAPER, Surroundings("cuda", 2, kernels)).device_total
        for kernels in ("none", "grid", "field")
    )
    assert field < grid < plain


def test_a_cpu_has_one_memory_and_the_mesh_may_be_the_peak() -> None:
    numbers = PRESETS["standard"].small
    need = estimate(TOY, numbers, Surroundings("cpu", 4))
    assert need.device_total == 0
    assert need.host["libraries"] == memory.PROCESS_BYTES["cpu"]
    large = estimate(TOY, replace(numbers, texture_size=4096), Surroundings("cpu", 4))
    assert large.host["mesh and texture"] == memory.TEXEL_BYTES * 4096**2 + memory.MESH_BASE
    assert large.host_total == sum(large.host.values())


def test_in_half_precision_a_cpu_has_the_unet_twice() -> None:
    numbers = PRESETS["standard"].small
    half, whole = (estimate(TOY, numbers, Surroundings("cpu", size)).host["weights"] for size in (2, 4))
    assert half == whole // 2 + 2 * TOY.parameters["unet"]
    assert estimate(TOY, numbers, PLAIN).device["weights"] == whole // 2


def test_the_text_encoder_counts_where_it_is_the_largest() -> None:
    wordy = replace(TOY, parameters={**TOY.parameters, "text": 10**9})
    need = estimate(wordy, replace(PAPER, render_size=16, refine_from=1.0), PLAIN)
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
        more = estimate(FULL, replace(base, **{name: larger}), PLAIN)
        assert more.device_total > estimate(FULL, base, PLAIN).device_total, name
    taller = estimate(FULL, replace(base, mesh_resolution=512), PLAIN)
    assert taller.host_total > estimate(FULL, base, PLAIN).host_total


def test_on_a_cpu_a_fine_occupancy_grid_may_be_the_peak() -> None:
    numbers = replace(PAPER, refine_from=1.0, render_size=16, views_per_step=4, occupancy_resolution=128)
    need = estimate(TOY, numbers, Surroundings("cpu", 4))
    assert need.host["occupancy grid"] == 128**3 * (320 + 8 * numbers.hidden)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_hash_grid_on_a_cpu_takes_what_the_formula_says() -> None:
    """Resident memory of a fresh process that takes a forward and a backward pass."""
    levels, count = 8, 300_000
    run = [sys.executable, str(Path(__file__).with_name("hash_grid_resident.py")), str(levels), str(count)]
    grown = int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    numbers = replace(PAPER, hash_levels=levels, hidden=64)
    kept = rendering.TRANSIENT * rendering.kept_bytes(numbers, "hash") * count
    assert 0.9 * kept < grown < kept + rendering.gaps(kept)


def test_with_all_kernels_a_smaller_card_renders_in_parts_and_changes_nothing_else() -> None:
    asked = replace(PAPER, ray_chunk=0, occupancy_resolution=128)

    def need_of(numbers: Numbers) -> Need:
        return estimate(FULL, numbers, ALL_KERNELS)

    assert fit(asked, need_of, 12 * 2**30, 10**12, "TOY 12").sentences == ()
    eight = fit(asked, need_of, round(7.3 * 2**30), 10**12, "TOY 8").numbers
    assert eight == replace(asked, ray_chunk=1 << 17)
    six = fit(asked, need_of, round(5.5 * 2**30), 10**12, "TOY 6").numbers
    assert (six.views_per_step, six.render_size) == (4, asked.render_size)
