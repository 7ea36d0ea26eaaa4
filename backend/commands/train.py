# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend train`: trains the autoencoder, then the multi-view model; samples from it."""

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from backend.commands import train_tiny_encoder
from backend.errors import UserError

if TYPE_CHECKING:
    from backend.training.runs import RunOptions

log = logging.getLogger(__name__)

SPEEDS = ("auto", "eager", "graph", "compile", "compile-graph")
_EPILOG = """example:
  python -m backend train autoencoder --data toys.tar --image-size 128 --steps 4000 --out runs/vae
  python -m backend train multiview --data toys.tar --autoencoder runs/vae --minutes 9 --out runs/small
  python -m backend train sample --model runs/small --prompts "a red mug" "a blue chair" -o sheet.png
"""

Subparsers = argparse._SubParsersAction  # argparse has no public name for it


def add_parser(subparsers: "Subparsers[argparse.ArgumentParser]") -> None:
    """Adds `train` and what it can train to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a multi-view model on rendered datasets",
        description="Trains a small multi-view diffusion model on dataset folders rendered in Blender,"
        " and a small image encoder on what such a model draws.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")
    autoencoder = actions.add_parser("autoencoder", help="first: images to latents and back")
    _add_common(autoencoder, batch=256, learning_rate=1.5e-3)
    autoencoder.add_argument(
        "--kl", type=float, default=1e-5, help="weight of the KL term (default: %(default)s)"
    )
    autoencoder.add_argument(
        "--channels", type=int, nargs="+", help="of each level, the finest first, instead of the usual ones"
    )
    autoencoder.add_argument("--latent-channels", type=int, help="instead of the usual number")
    multiview = actions.add_parser("multiview", help="then: UNet and text encoder")
    _add_common(multiview, batch=128, learning_rate=6e-4)
    _add_multiview(multiview)
    train_tiny_encoder.add_parser(actions)
    _add_sample(actions.add_parser("sample", help="look: four views of each prompt on one sheet"))


def run(arguments: argparse.Namespace) -> int:
    """Does what was asked for; returns the exit code."""
    actions = {
        "autoencoder": _autoencoder,
        "multiview": _multiview,
        "tiny-encoder": _tiny_encoder,
        "sample": _sample,
    }
    from backend.commands.interruption import being_told_to_end_is_ctrl_c

    with being_told_to_end_is_ctrl_c():
        actions[arguments.action](arguments)
    return 0


def _add_common(parser: argparse.ArgumentParser, batch: int, learning_rate: float) -> None:
    add = parser.add_argument
    add(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="dataset folders and .tar files of them",
    )
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for model, checkpoint, log.jsonl, training.json",
    )
    add("--steps", type=int, help="number of steps")
    add(
        "--minutes",
        type=float,
        help="instead of --steps: wall-clock budget, reading data and compiling included",
    )
    add(
        "--pause-after",
        type=float,
        metavar="MINUTES",
        help="stop with a checkpoint after so long, to --resume later",
    )
    add("--resume", action="store_true", help="go on from the checkpoint in --out; repeat the other options")
    add("--init", metavar="MODEL", help="start from this model (folder or name) instead of random weights")
    add("--image-size", type=int, metavar="PIXELS", help="64 or 128 (default: the model's, else 128)")
    add(
        "--batch",
        type=int,
        default=batch,
        help="images (autoencoder) or sets of 4 views a step (default: %(default)s)",
    )
    add("--learning-rate", type=float, default=learning_rate, help="default: %(default)s")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    add("--speed", choices=SPEEDS, default="auto", help="how steps run; auto: compiled and captured on CUDA")
    add(
        "--held-back", type=float, default=0.02, help="share of objects to validate on (default: %(default)s)"
    )
    add("--limit", type=int, help="use only so many objects")
    add("--workers", type=int, help="processes that decode images (default: one a core)")
    add("--log-every", type=int, default=100, metavar="STEPS", help="default: %(default)s")
    add("--validate-every", type=int, default=2000, metavar="STEPS", help="default: %(default)s")
    add("--checkpoint-every", type=int, default=5000, metavar="STEPS", help="default: %(default)s")


def _add_multiview(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--autoencoder", metavar="MODEL", help="folder that `train autoencoder` wrote, or a model's")
    add("--name", default="small", help="name of the new model (default: %(default)s)")
    add("--joined", type=float, default=0.7, help="share of steps with joined views (default: %(default)s)")
    add("--text-dropout", type=float, default=0.1, help="share of captions left out (default: %(default)s)")
    add(
        "--min-snr",
        type=float,
        default=5.0,
        help="gamma of min-SNR weighting, 0 for none (default: %(default)s)",
    )
    add("--backgrounds", type=int, default=4, help="random backgrounds kept a set (default: %(default)s)")
    add(
        "--refresh-every",
        type=int,
        default=25,
        metavar="STEPS",
        help="steps between new backgrounds for a chunk",
    )


def _add_sample(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", default="small", help="model folder or name (default: %(default)s)")
    add("--prompts", nargs="+", required=True, metavar="PROMPT", help="one row each")
    add("-o", "--output", type=Path, required=True, help="PNG file")
    add("--guidance", type=float, default=5.0, help="guidance scale (default: %(default)s)")
    add("--sampling-steps", type=int, default=30, help="default: %(default)s")
    add("--elevation", type=float, default=15.0, help="degrees (default: %(default)s)")
    add("--scale", type=int, default=1, help="enlarge by this whole number (default: %(default)s)")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")


def _run_options(arguments: argparse.Namespace) -> "RunOptions":
    from backend.training.loop import LoopOptions
    from backend.training.runs import RunOptions

    _check(arguments)
    loop = LoopOptions(
        steps=arguments.steps,
        minutes=arguments.minutes,
        pause_after=arguments.pause_after,
        learning_rate=arguments.learning_rate,
        speed=arguments.speed,
        log_every=arguments.log_every,
        validate_every=arguments.validate_every,
        checkpoint_every=arguments.checkpoint_every,
        resume=arguments.resume,
    )
    return RunOptions(
        data=tuple(arguments.data),
        out=arguments.out,
        image_size=arguments.image_size,
        device=arguments.device,
        seed=arguments.seed,
        init=arguments.init,
        held_back=arguments.held_back,
        limit=arguments.limit,
        workers=arguments.workers,
        loop=loop,
    )


def _check(arguments: argparse.Namespace) -> None:
    if arguments.steps is None and arguments.minutes is None:
        raise UserError("How long? Give --steps or --minutes.")
    for name in ("steps", "minutes", "batch", "log_every", "validate_every", "checkpoint_every"):
        value = getattr(arguments, name)
        if value is not None and value <= 0:
            raise UserError(f"--{name.replace('_', '-')} must be above 0, not {value}.")


def _autoencoder(arguments: argparse.Namespace) -> None:
    from backend.training.architecture import varied_shape
    from backend.training.autoencoder import AutoencoderOptions
    from backend.training.runs import train_autoencoder

    options = AutoencoderOptions(batch=arguments.batch, kl=arguments.kl, seed=arguments.seed)
    run_options = _run_options(arguments)
    shape = None
    if arguments.channels or arguments.latent_channels:
        shape = varied_shape(run_options.image_size or 128, arguments.channels, arguments.latent_channels)
    record = train_autoencoder(run_options, options, shape)
    _tell(arguments.out, record)


def _multiview(arguments: argparse.Namespace) -> None:
    from backend.training.multiview import MultiViewOptions
    from backend.training.runs import train_multiview

    options = MultiViewOptions(
        batch=arguments.batch,
        joined=arguments.joined,
        text_dropout=arguments.text_dropout,
        min_snr=arguments.min_snr,
        backgrounds=arguments.backgrounds,
        refresh_every=arguments.refresh_every,
        seed=arguments.seed,
    )
    record = train_multiview(_run_options(arguments), options, arguments.autoencoder, arguments.name)
    _tell(arguments.out, record)


def _tiny_encoder(arguments: argparse.Namespace) -> None:
    _tell(arguments.out, train_tiny_encoder.run(arguments))


def _tell(out: Path, record: dict) -> None:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in record["figures"].items())
    size = sum(record["bytes"].values()) / 1e6
    log.info("%s: %d steps in %.0f s, %.2f MB; %s", out, record["steps"], record["seconds"], size, figures)


def _sample(arguments: argparse.Namespace) -> None:
    from backend.diffusion import load
    from backend.training.runs import prepare_device
    from backend.training.sampling import contact_sheet, sample_views

    device = prepare_device(arguments.device, arguments.seed)
    model = load(arguments.model, device)
    images = sample_views(
        model,
        arguments.prompts,
        arguments.guidance,
        arguments.sampling_steps,
        arguments.seed,
        arguments.elevation,
    )
    part = arguments.output.with_name(arguments.output.name + ".part")
    try:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(images, arguments.prompts, arguments.scale).save(part, "PNG")
        os.replace(part, arguments.output)
    except OSError as error:
        raise UserError(f"The sheet cannot be written to {arguments.output} ({error.strerror}).") from error
    log.info("%s: %d prompts, 4 views each.", arguments.output, len(arguments.prompts))
