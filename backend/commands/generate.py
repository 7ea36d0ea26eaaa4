# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend generate PROMPT -o mesh.glb`: makes one object."""

import argparse
from pathlib import Path

# Options that go straight into GenerateSettings; their bounds are checked there.
OVERRIDES: dict[str, type] = {
    "steps": int,
    "guidance_scale": float,
    "guidance_rescale": float,
    "views_per_step": int,
    "render_size": int,
    "samples_per_ray": int,
    "mesh_resolution": int,
    "faces": int,
    "texture_size": int,
    "preview_every": int,
    "checkpoint_every": int,
}


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
    parser.add_argument("--negative", default="", metavar="TEXT", help="what to keep away from")
    parser.add_argument(
        "--model", default="small", help="name of a model, or the folder of one (default: small)"
    )
    parser.add_argument("--preset", default=None, help="set of numbers to start from (default: standard)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same machine: same mesh (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    for name, kind in OVERRIDES.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, metavar="N", help="instead of the preset's"
        )


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
    values = {
        name: getattr(arguments, name) for name in ("prompt", "model", "preset", "seed", "device", *OVERRIDES)
    }
    values = {name: value for name, value in values.items() if value is not None}
    settings = GenerateSettings.from_values({**values, "negative_prompt": arguments.negative})
    job = out.with_name(out.name + ".job")
    try:
        with ProgressBar() as bar:
            result = generate(settings, job, report=bar)
        os.replace(result.mesh, out)
    except (OSError, MemoryError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise  # a fault of the program: its traceback is wanted
        raise UserError(explain_exception(error, job)) from error
    for name in (PREVIEW, SETTINGS):
        (job / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files stay where they are
        job.rmdir()
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in result.seconds.items() if value >= 0.05)
    bar.say(f"{out}: {result.faces} faces. Seconds: {seconds}.")
    return 0
