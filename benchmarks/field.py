# SPDX-License-Identifier: GPL-3.0-or-later
"""The field on its own: `python -m benchmarks.field`.

Encodings forward and backward on 2 M random points: PyTorch, Triton, and tinycudann where it was built. Then
the rendering of the published recipe's fresh field, part by part, forward and backward.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from backend.cameras import orbit_views, rays
from backend.devices import pick_device
from backend.radiance.hash_grid import HashGrid
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendering import render
from backend.recipe import make_field
from backend.settings import PRESETS, Numbers
from benchmarks.ceilings import describe
from benchmarks.results import add_options, finish
from benchmarks.stopwatch import Stopwatch

POINTS, TINY_POINTS = 1 << 21, 1 << 10
PICTURES, TINY_PICTURES = ((8, 64), (4, 256)), ((1, 16),)
NUMBERS = PRESETS["paper"].numbers
TINY_NUMBERS = replace(NUMBERS, hash_levels=4, hash_log2_size=10, samples_per_ray=32, occupancy_resolution=16)

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and writes JSON."""
    arguments = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    tiny, repeats = arguments.tiny, arguments.repeats
    numbers = TINY_NUMBERS if tiny else NUMBERS
    points = arguments.points or (TINY_POINTS if tiny else POINTS)
    log.info("Measuring what the device does at best")
    device = pick_device(arguments.device)
    found = describe(device, torch.float32)
    found["encodings"] = encodings(device, numbers, points, repeats)
    found["render"] = {
        f"{views} x {size}²": rendering(device, numbers, views, size, repeats)
        for views, size in (TINY_PICTURES if tiny else PICTURES)
    }
    log.info("%s", json.dumps(found, indent=1))
    finish(arguments, found)
    return 0


def encodings(device: torch.device, numbers: Numbers, points: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of each encoding, and how far features and gradient are from PyTorch's."""
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(
        numbers.hash_levels,
        log2_size=numbers.hash_log2_size,
        init_scale=1.0,
        generator=generator,
        kernels="torch",
    ).to(device)
    x = torch.rand(points, 3, generator=generator).to(device)
    weights = torch.randn(points, grid.output_dim, generator=generator).to(device)
    results: dict[str, Any] = {}
    truth: tuple[Tensor, Tensor] | None = None
    for kernels in ("torch", *(["triton"] if device.type == "cuda" else []), *_built("tinycudann")):
        log.info("Measuring the encoding of %s points by %s", f"{points:,}", kernels)
        grid.kernels = kernels

        def once() -> tuple[Tensor, Tensor]:
            features = grid(x)
            (gradient,) = torch.autograd.grad(features, grid.table, weights)
            return features.detach(), gradient

        forward = _median(device, lambda: grid(x), repeats)
        both = _median(device, once, repeats)
        found = once()
        truth = truth or found
        errors = [float((a - b).norm() / b.norm()) for a, b in zip(found, truth, strict=True)]
        results[kernels] = {"forward_ms": forward, "forward_backward_ms": both, "error": errors}
        log.info("%s: %s", kernels, results[kernels])
    return results


def rendering(device: torch.device, numbers: Numbers, views: int, size: int, repeats: int) -> dict[str, Any]:
    """Milliseconds to march, to render and to go back, for a fresh field."""
    pictures = f"{views} x {size}²"
    log.info("Measuring the grid of what is empty, for pictures of %s", pictures)
    field = make_field(numbers, 1.0, device, seed=0)
    occupancy = OccupancyGrid(1.0, numbers.occupancy_resolution, numbers.occupancy_density).to(device)
    occupancy.update(field)
    cameras = orbit_views(views, 15.0, 2.2, 49.0, device)
    origins, directions = (part.reshape(-1, 3) for part in rays(cameras.c2w, cameras.fov, size, size))
    jitter = torch.rand(len(origins), device=device)
    results: dict[str, Any] = {"occupancy_ms": _median(device, lambda: occupancy.update(field), repeats)}
    for normals in ("none", "analytic"):
        log.info("Measuring the rendering of %s, normals: %s", pictures, normals)

        def once(normals: str = normals, backward: bool = True) -> Any:
            seen = render(
                field, occupancy, origins, directions, None, numbers.samples_per_ray, jitter, normals=normals,
                width=size,
            )  # fmt: skip
            if backward:
                loss = seen.rgb.square().sum()
                if seen.normals is not None:
                    loss = loss + (seen.weights * seen.normals[:, 0]).sum()
                loss.backward()
            return seen

        forward = _median(device, lambda: once(backward=False), repeats)
        results[normals] = {
            "samples": int(once().samples),
            "forward_ms": forward,
            "forward_backward_ms": _median(device, once, repeats),
        }
    return results


def _built(name: str) -> list[str]:
    return [name] if importlib.util.find_spec(name) else []


def _median(device: torch.device, work: Callable[[], Any], repeats: int) -> float:
    watch = Stopwatch(device)
    for _ in range(repeats + 2):
        with watch.measure("work"):
            work()
        watch.end_step()
    return watch.medians(2)["work"]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field", description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--points", type=int, metavar="N", help=f"default: {POINTS}, with --tiny {TINY_POINTS}"
    )
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument(
        "--tiny", action="store_true", help="few points, a small grid, a small picture: to rehearse"
    )
    add_options(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
