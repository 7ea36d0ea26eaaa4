# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the toy world."""

import argparse
import logging
import os
import sys
from pathlib import Path


def main() -> int:
    """Parses the arguments and renders."""
    parser = argparse.ArgumentParser(
        prog="python -m toyworld", description="Render the toy world with Blender."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    render = commands.add_parser(
        "render", help="training data: random scenes, held-out combinations left out"
    )
    render.add_argument("--out", type=Path, required=True)
    render.add_argument("--start", type=int, default=0, help="number of the first scene")
    render.add_argument("--count", type=int, required=True, help="how many scenes")
    render.add_argument("--sets", type=int, default=1, help="sets of 4 orthogonal views a scene")
    render.add_argument("--seed", type=int, default=0)
    render.add_argument("--image-size", type=int, default=128)
    render.add_argument("--engine", choices=("WORKBENCH", "CYCLES"), default="WORKBENCH")
    references = commands.add_parser("references", help="what evaluation compares with: held-out scenes")
    references.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    if args.command == "references":
        from .references import render_references

        render_references(args.out)
        return 0
    from .render import render_training_set

    render_training_set(args.out, args.start, args.count, args.sets, args.seed, args.image_size, args.engine)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # some Blender versions crash while the interpreter shuts down
