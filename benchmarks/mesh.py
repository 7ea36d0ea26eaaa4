# SPDX-License-Identifier: GPL-3.0-or-later
"""From a field to a textured mesh: `python -m benchmarks.mesh`. A fresh field's ball, each step timed."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from backend import mesh as meshing
from backend.devices import pick_device
from backend.recipe import make_field
from backend.settings import PRESETS
from benchmarks.results import add_options, finish
from benchmarks.stopwatch import Stopwatch

log = logging.getLogger(__name__)


def main() -> int:
    """Measures one preset's mesh, prints milliseconds by step, writes JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mesh", description=__doc__)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="standard")
    parser.add_argument("--small", action="store_true", help="with the shipped model's numbers")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    add_options(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    device = pick_device(arguments.device)
    preset = PRESETS[arguments.preset]
    numbers = preset.small if arguments.small else preset.numbers
    field = make_field(numbers, 1.0, device, seed=0)
    watch = Stopwatch(device)
    for _ in range(arguments.repeats):
        with watch.measure("extract"):
            mesh = meshing.extract(field.density, field.bound, numbers.mesh_resolution, device=device)
        with watch.measure("clean"):
            mesh = meshing.remove_floaters(mesh)
        with watch.measure("simplify"):
            mesh = meshing.simplify(mesh, numbers.faces)
        with watch.measure("unwrap"):
            mesh = meshing.unwrap(meshing.with_normals(mesh), numbers.texture_size)
        with watch.measure("look"):
            reach = 4 * field.bound / numbers.mesh_resolution
            places = meshing.visible_points(mesh, field.density, reach, device=device)
        with watch.measure("bake"):
            mesh = meshing.bake(mesh, field.colour, numbers.texture_size, places, device)
        watch.end_step()
    found = {"faces": len(mesh.faces), "ms": watch.medians(1 if arguments.repeats > 1 else 0)}
    log.info("%s", json.dumps(found, indent=1))
    finish(arguments, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
