# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend train tiny-encoder`: a small image encoder, distilled from a model's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import UserError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(actions: Subparsers) -> None:
    """Adds the action to those of `train`."""
    parser = actions.add_parser(
        "tiny-encoder",
        help="a small image encoder for a model, distilled from its own",
        description="Distils a model's image encoder into a small one, on pictures that the model draws. Copy"
        " the new folder tiny_vae into the model's folder.",
    )
    add = parser.add_argument
    add("--model", default="small", help="name or folder of the model (default: %(default)s)")
    add("--out", type=Path, required=True, metavar="DIR", help="gets tiny_vae, checkpoint, training.json")
    add("--steps", type=int, default=2500, help="number of steps (default: %(default)s)")
    add("--sets", type=int, default=100, help="sets of views drawn to learn from (default: %(default)s)")
    add("--batch", type=int, default=32, help="images a step (default: %(default)s)")
    add("--channels", type=int, default=32, help="width of its layers (default: %(default)s)")
    add("--learning-rate", type=float, default=2e-3, help="default: %(default)s")
    add("--seed", type=int, default=0, help="of weights and pictures (default: %(default)s)")
    add("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    add("--resume", action="store_true", help="go on from the checkpoint in --out; repeat the other options")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains; returns the record. Raises UserError for impossible numbers."""
    for name, least in (("steps", 1), ("batch", 1), ("channels", 1), ("sets", 2)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name} must be at least {least}, not {getattr(arguments, name)}.")
    from backend.training.loop import LoopOptions
    from backend.training.tiny_encoder import TinyEncoderOptions
    from backend.training.tiny_encoder_run import train_tiny_encoder

    loop = LoopOptions(
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        warmup=100,
        decay=0.995,
        validate_every=250,
        checkpoint_every=250,
        resume=arguments.resume,
    )
    options = TinyEncoderOptions(arguments.batch, arguments.sets, arguments.channels, arguments.seed)
    return train_tiny_encoder(arguments.model, arguments.out, loop, options, arguments.device)
