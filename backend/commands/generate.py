# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend generate PROMPT -o mesh.glb`: makes one object."""

import argparse
from pathlib import Path

from backend.commands.recipe_options import add_recipe_options, recipe_values


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `generate` to the command line."""
    parser = subparsers.add_parser(
        "generate",
        help="make a textured mesh from a prompt",
        description="Makes a textured mesh from a prompt. Interrupted, the same command goes on.",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what to make, for example 'a red mug'")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FILE", help="the .glb file to write"
    )
    parser.add_argument(
        "--negative", metavar="TEXT", help="what to keep away from (default: what suits the model)"
    )
    parser.add_argument(
        "--model",
        default="auto",
        help="name of a model, or the folder of one (default: auto, the published one where it is installed"
        " and there is a GPU, else the small one)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same machine: same mesh (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    add_recipe_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Generates; the job's own files lie beside the mesh until it is finished."""
    import contextlib
    import os

    from safetensors import SafetensorError

    from backend.commands.progress_bar import ProgressBar
    from backend.errors import UserError
    from backend.pipeline import PREVIEW, SETTINGS, generate
    from backend.service.failures import explain_exception
    from backend.settings import GenerateSettings

    out: Path = arguments.out
    if out.suffix.lower() != ".glb":
        raise UserError(f"The output {out} must end in .glb: that is the format of the mesh.")
    if out.is_dir():
        raise UserError(
            f"The output {out} is a folder. Name the .glb file to write, for example {out / 'mesh.glb'}."
        )
    values = {name: getattr(arguments, name) for name in ("prompt", "model", "seed", "device")}
    if arguments.negative is not None:
        values["negative_prompt"] = arguments.negative
    settings = GenerateSettings.from_values({**values, **recipe_values(arguments)})
    job = out.with_name(out.name + ".job")
    try:
        with ProgressBar() as bar:
            result = generate(settings, job, report=bar)
        os.replace(result.mesh, out)
    except (OSError, MemoryError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise  # a fault of the program: its traceback is wanted
        raise UserError(explain_exception(error, job, "generate")) from error
    for name in (PREVIEW, SETTINGS):
        (job / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files stay where they are
        job.rmdir()
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in result.seconds.items() if value >= 0.05)
    bar.say(f"{out}: {result.faces} faces. Seconds: {seconds}.")
    return 0
