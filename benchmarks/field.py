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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.cameras import orbit_views, rays
from backend.devices import pick_device
from backend.radiance.hash_grid import HashGrid
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendering import render
from backend.recipe import make_field
from backend.settings import PRESETS
from benchmarks.ceilings import describe
from benchmarks.stopwatch import Stopwatch

log = logging.getLogger(__name__)


def main() -> int:
    """Measures, prints, and writes JSON."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    device = pick_device(arguments.device)
    found = describe(device, torch.float32)
    found["encodings"] = encodings(device, arguments.points, arguments.repeats)
    found["render"] = {
        f"{views} x {size}²": rendering(device, views, size, arguments.repeats)
        for views, size in ([(1, 16)] if arguments.tiny else [(8, 64), (4, 256)])
    }
    log.info("%s", json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    return 0


def encodings(device: torch.device, points: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of each encoding, and how far features and gradient are from PyTorch's."""
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(init_scale=1.0, generator=generator, kernels="torch").to(device)
    x = torch.rand(points, 3, generator=generator).to(device)
    weights = torch.randn(points, grid.output_dim, generator=generator).to(device)
    results: dict[str, Any] = {}
    truth: tuple[Tensor, Tensor] | None = None
    for kernels in ("torch", *(["triton"] if device.type == "cuda" else []), *_built("tinycudann")):
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


def rendering(device: torch.device, views: int, size: int, repeats: int) -> dict[str, Any]:
    """Milliseconds to march, to render and to go back, for a fresh field."""
    numbers = PRESETS["paper"].numbers
    field = make_field(numbers, 1.0, device, seed=0)
    occupancy = OccupancyGrid(1.0, numbers.occupancy_resolution, numbers.occupancy_density).to(device)
    occupancy.update(field)
    cameras = orbit_views(views, 15.0, 2.2, 49.0, device)
    origins, directions = (part.reshape(-1, 3) for part in rays(cameras.c2w, cameras.fov, size, size))
    jitter = torch.rand(len(origins), device=device)
    results: dict[str, Any] = {"occupancy_ms": _median(device, lambda: occupancy.update(field), repeats)}
    for normals in ("none", "analytic"):

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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field", description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--points", type=int, default=1 << 21)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--tiny", action="store_true", help="a small picture, to rehearse")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
