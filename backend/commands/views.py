# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend views PROMPT -o views.png`: shows what the model makes of a prompt."""

import argparse
import os
from pathlib import Path


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `views` to the command line."""
    parser = subparsers.add_parser(
        "views",
        help="sample the four views of a prompt as a picture",
        description="Samples orthogonal views of a prompt, from left to right: front, then counter-clockwise"
        " seen from above. Look at them before you spend minutes on 3D.",
    )
    parser.add_argument("prompt", metavar="PROMPT", help="what to show, for example 'a red mug'")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="FILE", help="the .png file to write"
    )
    parser.add_argument("--separate", action="store_true", help="also write each view, FILE-AZIMUTH.png")
    parser.add_argument(
        "--negative", metavar="TEXT", help="what to keep away from (default: what suits the model)"
    )
    parser.add_argument(
        "--model",
        help="name of a model, or the folder of one (default: auto, the published one where it is installed"
        " and there is a GPU, else the small one)",
    )
    parser.add_argument("--seed", type=int, help="same seed, same machine: same picture (default: 0)")
    parser.add_argument(
        "--count", type=int, metavar="N", help="sets of views, of seeds from SEED (default: 1)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="passes through the network (default: 20)")
    parser.add_argument(
        "--guidance-scale",
        "--guidance",
        type=float,
        metavar="N",
        help="strength of guidance (default: what suits the model)",
    )
    parser.add_argument(
        "--guidance-rescale",
        "--rescale",
        type=float,
        metavar="N",
        help="share of the CFG rescale, 0 to 1 (default: 0)",
    )
    parser.add_argument("--solver", metavar="dpm++|ddim", help="DPM-Solver++(2M) or DDIM (default: dpm++)")
    parser.add_argument(
        "--background", metavar="grey|any", help="a neutral one, or what the model likes (default: grey)"
    )
    parser.add_argument("--elevation", type=float, metavar="DEG", help="of the cameras (default: 15)")
    parser.add_argument(
        "--azimuth", type=float, metavar="DEG", help="of the first camera (default: 0, front)"
    )
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--precision", help="of the networks: auto, bf16, fp16 or fp32 (default: auto)")


_OWN = ("run", "out", "verbose")


def run(arguments: argparse.Namespace) -> int:
    """Samples, beside the output, and puts the finished pictures in their places."""
    from backend.commands.option_names import options_named
    from backend.views_settings import ViewsSettings

    with options_named(ViewsSettings.model_fields):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    import tempfile

    from backend.errors import UserError
    from backend.prompts import check_words_for
    from backend.views_settings import ViewsSettings

    out: Path = arguments.out
    if out.suffix.lower() != ".png":
        raise UserError(f"The output {out} must end in .png: that is the format of the picture.")
    if out.is_dir():
        raise UserError(
            f"The output {out} is a folder. Name the .png file to write, for example {out / 'views.png'}."
        )
    given = {name: value for name, value in vars(arguments).items() if name not in _OWN and value is not None}
    if "negative" in given:
        given["negative_prompt"] = given.pop("negative")
    settings = ViewsSettings.from_values(given)
    check_words_for(settings.model, settings.prompt, settings.negative_prompt)

    from backend.commands.progress_bar import ProgressBar
    from backend.service.failures import explain_exception
    from backend.views import sample_views
    from backend.workplace import prepare_folder

    parent = prepare_folder(out.parent)
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{out.stem}-") as folder:
            with ProgressBar() as bar:
                result = sample_views(settings, Path(folder), report=bar)
            for made in result.separate:
                os.replace(made, out.with_name(made.name.replace("view", out.stem, 1)))
            os.replace(result.picture, out)
    except (OSError, MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise  # a fault of the program: its traceback is wanted
        raise UserError(explain_exception(error, parent, "views")) from error
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in result.seconds.items() if value >= 0.05)
    bar.say(f"{out}: {settings.count} x {settings.steps} steps. Seconds: {seconds}.")
    return 0
