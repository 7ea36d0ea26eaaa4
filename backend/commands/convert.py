# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend convert`: a published checkpoint becomes a model folder."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from backend.commands.progress_bar import ProgressBar
from backend.progress import Progress

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_PARTS = {"unet": "UNet", "vae": "autoencoder", "text": "text encoder"}
_BASIS_SECONDS, _BASIS_SHARE = 1.0, 0.03


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "convert",
        help="turn an original MVDream checkpoint into a model folder",
        description="Turn an original MVDream checkpoint, or a diffusers-style folder of one, into a"
        " model folder. "
        "Put the folder where MVDREAM_MODELS points to use it by name.",
    )
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help=".pt, .ckpt or .safetensors file, or a folder"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="YAML",
        help="its configuration; the published checkpoints are recognized without",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to write")
    parser.add_argument("--half", action="store_true", help="store 16-bit weights: half the size on disk")


def run(args: argparse.Namespace) -> int:
    """Convert. Raises UserError for files that are missing, broken or do not belong together."""
    from backend.diffusion.folder_swap import require_place

    require_place(args.out)
    # Heavy imports come after what can be refused at once.
    import torch

    from backend.diffusion.convert import convert_file, model_name

    with ProgressBar() as bar:
        report = _Report(bar)
        convert_file(
            args.checkpoint,
            args.out,
            config=args.config,
            name=model_name(args.out),
            dtype=torch.float16 if args.half else None,
            report=report,
        )
    print(f"{args.out}: {', '.join(_PARTS[part] for part in report.parts)}")  # noqa: T201
    if "text" not in report.parts:
        print("The checkpoint holds no text encoder: prompts can't be encoded with this model.")  # noqa: T201
    return 0


class _Report:
    """Shows how many bytes are written, and remembers which parts there were."""

    def __init__(self, bar: ProgressBar) -> None:
        self.bar, self.parts = bar, dict[str, None]()
        self.first: tuple[float, int] | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.parts[stage] = None
        message = f"Converting: {_PARTS[stage]} ({done / 10**6:,.0f} of {total / 10**6:,.0f} MB)"
        left = self._seconds_left(done, total)
        self.bar(Progress("convert", fraction=done / total, seconds_left=left, message=message))

    def _seconds_left(self, done: int, total: int) -> float | None:
        """By the rate since the first tensor (before it the file was opened); None while that says little."""
        now = time.monotonic()
        self.first = self.first or (now, done)
        took, moved = now - self.first[0], done - self.first[1]
        if not moved or (took < _BASIS_SECONDS and moved < _BASIS_SHARE * total):
            return None
        return took * (total - done) / moved
