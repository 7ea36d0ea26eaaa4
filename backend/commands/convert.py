# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend convert`: an original MVDream checkpoint becomes a model folder."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "convert",
        help="turn an original MVDream checkpoint into a model folder",
        description="Turn an original MVDream checkpoint into a model folder. "
        "Put the folder where MVDREAM_MODELS points to use it by name.",
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=".safetensors or .pt file")
    parser.add_argument("--config", type=Path, required=True, metavar="YAML", help="its configuration")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to write")
    parser.add_argument("--half", action="store_true", help="store 16-bit weights: half the size on disk")


def run(args: argparse.Namespace) -> int:
    """Convert. Raises UserError for files that are missing, broken or do not belong together."""
    import torch

    from backend.diffusion.convert import convert
    from backend.diffusion.storage import save

    model = convert(args.checkpoint, args.config, name=_model_name(args.out))
    save(model, args.out, dtype=torch.float16 if args.half else None)
    print(f"{args.out}: {', '.join(model.parts)}")  # noqa: T201
    if model.text is None:
        print("The text encoder is not converted yet: prompts can't be encoded with this model.")  # noqa: T201
    return 0


def _model_name(folder: Path) -> str:
    """The folder's name made fit to be a model's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", folder.resolve().name).strip("-") or "converted"
