# SPDX-License-Identifier: GPL-3.0-or-later
"""Score distillation with full-size networks: `python -m benchmarks.sds`.

The work is the published configuration's: stage 1 renders 8 views of 64², stage 2 renders 4 of 256², both
resized to 256² for the VAE. Weights are random, and the field is kept in its initial blob (no learning), so
that the number of samples stays the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from backend.devices import pick_device, pick_dtype
from backend.distillation import Distillation
from backend.radiance.pictures import Pictures
from backend.settings import PRESETS, Numbers
from benchmarks import full_size
from benchmarks.ceilings import describe
from benchmarks.counted import CountedFlops
from benchmarks.field_work import field_work
from benchmarks.results import add_options, finish
from benchmarks.stopwatch import Stopwatch

STAGES = {"1": 0.0, "2": 0.5}
WARM_UP = 3
PARTS = ("occupancy", "march", "render", "encode", "unet", "backward", "optimiser")

log = logging.getLogger(__name__)


def main() -> int:
    """Measures, prints a table and writes JSON beside it."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    device = pick_device(arguments.device)
    dtype = pick_dtype(device, 256, arguments.precision)
    log.info("Making the networks")
    model = full_size.build(device, dtype, arguments.tiny)
    log.info("Measuring what the device does at best")
    result: dict[str, Any] = describe(device, dtype)
    result["networks"] = "stock" if arguments.stock else "compiled" if arguments.compile else "fused"
    works = [(preset, stage) for preset in arguments.preset for stage in arguments.stage if arguments.steps]
    # Counted first: captures repeat the work, and our own kernels do not count.
    flops = {}
    for work in works:
        log.info("%s, stage %s: counting the work of a step", *work)
        flops[work] = count(_begin(model, *work, arguments, device))
    if not arguments.stock:
        model.accelerate(compiled=("unet", "vae") if arguments.compile else ())
    for work in works:
        name = "{}, stage {}".format(*work)
        log.info("%s: measuring %d steps", name, arguments.steps)
        distillation = _begin(model, *work, arguments, device)
        found = measure(distillation, arguments.steps, device)
        parameters = sum(each.numel() for each in distillation.field.parameters())
        own = field_work(found["samples"], distillation.numbers, parameters)
        result[name] = {
            **found,
            "tflop": flops[work] / 1e12,
            "field_tflop": own.flop / 1e12,
            "field_gb": own.least / 1e9,
            "field_uncached_gb": own.uncached / 1e9,
        }
        _show(name, result[name], result)
    for preset in arguments.whole:
        result[f"{preset}, whole"] = run_whole(model, preset, arguments, device)
    finish(arguments, result)
    return 0


def measure(distillation: Distillation, steps: int, device: torch.device) -> dict[str, Any]:
    """Steps of one stage: medians, samples, memory, and whether time stays flat."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    for _ in range(WARM_UP):
        distillation.step()
    watch = Stopwatch(device)
    memory, samples = [], []
    with _watched(watch, distillation) as rendered:
        for _ in range(steps):
            with watch.measure("step"):
                distillation.step()
            watch.end_step()
            memory.append(torch.cuda.memory_allocated() if device.type == "cuda" else 0)
            samples.append(torch.stack(rendered).sum())
            rendered.clear()
    taken = watch.series("step")
    window = max(1, len(taken) // 6)
    return {
        "step_ms": median(taken[len(taken) // 4 :]),
        "parts_ms": watch.medians(len(taken) // 4),
        "windows_ms": [median(taken[i : i + window]) for i in range(0, len(taken) - window + 1, window)],
        "allocated_gib": [memory[i] / 2**30 for i in (0, len(memory) // 2, -1)],
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30 if device.type == "cuda" else None,
        "samples": median(int(count) for count in samples),
    }


def run_whole(model: Any, preset: str, arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """All steps of a preset: wall seconds, and those of each tenth."""
    numbers = _numbers(preset, arguments)
    log.info("%s: taking all %d steps", preset, numbers.steps)
    distillation = Distillation(model, *full_size.contexts(device), numbers, seed=0)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    if arguments.compile:
        distillation.warm_up()
    times = [time.perf_counter()]
    for step in range(numbers.steps):
        distillation.step()
        if (step + 1) % max(1, numbers.steps // 10) == 0 or step + 1 == numbers.steps:
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter())
            log.info("%s: %d steps after %.1f s", preset, step + 1, times[-1] - times[0])
    found = {
        "steps": numbers.steps,
        "seconds": times[-1] - times[0],
        "tenths_s": [end - start for start, end in itertools.pairwise(times)],
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None,
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30 if device.type == "cuda" else None,
    }
    log.info("%s, whole: %s", preset, json.dumps(found))
    return found


def _numbers(preset: str, arguments: argparse.Namespace) -> Numbers:
    still = {"grid_rate": 0.0, "network_rate": 0.0, "background_rate": 0.0}
    numbers = PRESETS[preset].numbers
    if arguments.tiny:
        numbers = replace(
            numbers, steps=20, refine_render_size=64, hash_levels=4, hash_log2_size=10, render_size=16
        )
    if arguments.ray_chunk is not None:
        numbers = replace(numbers, ray_chunk=arguments.ray_chunk)
    return replace(numbers, **({} if arguments.learn else still))


def _begin(
    model: Any, preset: str, stage: str, arguments: argparse.Namespace, device: torch.device
) -> Distillation:
    """A fresh object at the first step of a stage."""
    numbers = _numbers(preset, arguments)
    distillation = Distillation(model, *full_size.contexts(device), numbers, seed=0)
    distillation.step_number = int(STAGES[stage] * numbers.steps)
    # That step may be none at which the grid is looked at; without a look everything counts as occupied.
    distillation.occupancy.update(distillation.field)
    return distillation


def count(distillation: Distillation) -> float:
    """Counted FLOP of a step: matrix products, convolutions, attention."""
    with CountedFlops() as counted:
        distillation.step()
    return float(counted.total)


@contextmanager
def _watched(watch: Stopwatch, distillation: Distillation) -> Iterator[list[torch.Tensor]]:
    """Times the parts of steps; the list it gives gets the samples of each rendering with gradients."""
    watch.wrap(distillation.occupancy, "update", "occupancy")
    watch.wrap(distillation.guidance, "encode", "encode")
    watch.wrap(distillation.guidance, "guided_noise", "unet")
    watch.wrap(distillation, "_move", "optimiser")
    watch.wrap(Pictures, "march", "march")
    watch.wrap(torch.Tensor, "backward", "backward")
    render, samples = Pictures.render, []

    def measured(*args: Any, **kwargs: Any) -> Any:
        with watch.measure("render"):
            rendered = render(*args, **kwargs)
        if torch.is_grad_enabled():
            samples.append(rendered.samples)
        return rendered

    Pictures.render = measured  # type: ignore[method-assign]
    try:
        yield samples
    finally:
        Pictures.render = render  # type: ignore[method-assign]
        watch.unwrap()


def _show(name: str, found: dict[str, Any], ceilings: dict[str, Any]) -> None:
    rate = ceilings["matmul_tflops"]
    networks = found["tflop"] / rate * 1e3
    field = found["field_tflop"] / rate * 1e3 + found["field_gb"] / ceilings["copy_gb_s"] * 1e3
    floor = networks + field
    parts = "".join(f"\n    {part:<10} {found['parts_ms'].get(part, 0.0):8.2f} ms" for part in PARTS)
    peak = (
        ""
        if found["peak_gib"] is None
        else f", peak {found['peak_gib']:.2f} GiB (reserved {found['reserved_gib']:.2f})"
    )
    log.info(
        "%s: %.1f ms a step, %.2f M samples%s\n"
        "  floor %.1f ms, ratio %.1f: networks %.1f (%.2f TFLOP at %.0f TFLOP/s),"
        " field %.1f (%.1f GB at %.0f GB/s)\n"
        "  without caches the samples' corners were to move %.1f GB more, in %.1f ms%s\n"
        "  flat? %s ms; allocated %s GiB",
        name,
        found["step_ms"],
        found["samples"] / 1e6,
        peak,
        floor,
        found["step_ms"] / floor,
        networks,
        found["tflop"],
        rate,
        field,
        found["field_gb"],
        ceilings["copy_gb_s"],
        found["field_uncached_gb"],
        found["field_uncached_gb"] / ceilings["copy_gb_s"] * 1e3,
        parts,
        ", ".join(f"{value:.1f}" for value in found["windows_ms"]),
        ", ".join(f"{value:.2f}" for value in found["allocated_gib"]),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sds", description=__doc__)
    parser.add_argument("--stage", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--preset", nargs="+", choices=("paper", "paper-shaded"), default=["paper"])
    parser.add_argument(
        "--whole", nargs="+", choices=("paper", "paper-shaded"), default=[], help="all steps of these, too"
    )
    parser.add_argument("--steps", type=int, default=40, help="measured of each stage; 0: none")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--ray-chunk", type=int, help="instead of the preset's")
    parser.add_argument("--learn", action="store_true", help="let the field change, as a real run does")
    parser.add_argument("--tiny", action="store_true", help="small networks, to rehearse")
    networks = parser.add_mutually_exclusive_group()
    networks.add_argument(
        "--stock", action="store_true", help="networks as they are: no fused parts, no graphs"
    )
    networks.add_argument("--compile", action="store_true", help="networks by torch.compile, and as graphs")
    add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
