# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend generate PROMPT -o mesh.glb`: makes one object."""

import argparse
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from backend.commands.recipe_options import add_recipe_options, recipe_values

if TYPE_CHECKING:
    from backend.commands.interruption import Interruption
    from backend.settings import GenerateSettings


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
    from backend.commands.interruption import Interruption

    out = _checked(arguments.out)
    # From here on, as an exception in the middle of an import can leave half a library behind.
    with Interruption() as asked:
        from backend.commands.option_names import options_named
        from backend.settings import GenerateSettings

        with options_named(GenerateSettings.model_fields):
            return _run(arguments, out, asked)


def _checked(out: Path) -> Path:
    from backend.errors import UserError

    if os.path.isdir(out):
        raise UserError(
            f"The output {out} is a folder. Name the .glb file to write, for example {out / 'mesh.glb'}."
        )
    if out.suffix.lower() != ".glb":
        raise UserError(f"The output {out} must end in .glb: that is the format of the mesh.")
    return out


def _run(arguments: argparse.Namespace, out: Path, asked: "Interruption") -> int:
    settings = _settings(arguments)
    job = out.with_name(out.name + ".job")
    # Heavy imports come after what can be refused at once.
    from backend.errors import Cancelled
    from backend.workplace import claimed_folder

    if asked():
        raise Cancelled
    with claimed_folder(job):
        return _generate(settings, job, out, asked)


def _settings(arguments: argparse.Namespace) -> "GenerateSettings":
    """Checked settings; the words of the prompt too, where it is certain which model they are for."""
    from backend.prompts import check_words_for
    from backend.settings import GenerateSettings

    values = {name: getattr(arguments, name) for name in ("prompt", "model", "seed", "device")}
    if arguments.negative is not None:
        values["negative_prompt"] = arguments.negative
    settings = GenerateSettings.from_values({**values, **recipe_values(arguments)})
    check_words_for(settings.model, settings.prompt, settings.negative_prompt)
    return settings


def _generate(settings: "GenerateSettings", job: Path, out: Path, asked: "Interruption") -> int:
    from safetensors import SafetensorError

    from backend.commands.progress_bar import ProgressBar
    from backend.errors import Cancelled, UserError
    from backend.pipeline import CHECKPOINT, PREVIEW, SETTINGS, generate
    from backend.service.failures import explain_exception

    try:
        if asked():
            raise Cancelled
        with ProgressBar() as bar:
            result = generate(settings, job, report=bar, cancelled=asked)
    except Cancelled:
        kept = (job / CHECKPOINT).is_file()
        raise Cancelled("Stopped. The same command goes on from here." if kept else "Stopped.") from None
    except (OSError, MemoryError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise  # a fault of the program: its traceback is wanted
        raise UserError(explain_exception(error, job, "generate")) from error
    finally:
        _tidy(job)
    try:
        os.replace(result.mesh, out)
    except OSError as error:
        raise UserError(
            f"The mesh is finished, but {out} can't be written ({error.strerror}). It lies in {result.mesh}."
        ) from error
    _remove(job, PREVIEW, SETTINGS)
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in result.seconds.items() if value >= 0.05)
    bar.say(f"{out}: {result.faces} faces. Seconds: {seconds}.")
    return 0


def _tidy(job: Path) -> None:
    """Removes what only a job to go on with has use for, where there is none, of this object or another."""
    from backend.pipeline import CHECKPOINT, MESH, PREVIEW, SETTINGS

    if not any(job.glob(f"{Path(CHECKPOINT).stem}*{Path(CHECKPOINT).suffix}")):
        halves = [f"{name}.part" for name in (CHECKPOINT, MESH, PREVIEW, SETTINGS)]
        _remove(job, PREVIEW, SETTINGS, *halves)


def _remove(job: Path, *names: str) -> None:
    with contextlib.suppress(OSError):  # somebody looks at it; what the job came to is more important
        for name in names:
            (job / name).unlink(missing_ok=True)
