# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend models list | info | download | convert | remove`: which models there are."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import UserError

if TYPE_CHECKING:
    from backend.commands.progress_bar import ProgressBar
    from backend.diffusion.registry import ModelEntry
    from backend.hub.progress import Report

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "models",
        help="list, download, convert and remove models",
        description="The models of this computer: in $MVDREAM_MODELS, else in the user's cache folder.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="WHAT")
    actions.add_parser("list", help="all models, with those that can be downloaded")
    info = actions.add_parser("info", help="what a model is, has and needs")
    info.add_argument("name", metavar="NAME", help="a model's name, or a model folder")

    download = actions.add_parser(
        "download",
        help="download a published model and convert it",
        description="Downloads a published model, converts it, and deletes the download. Interrupted,"
        " the same command goes on where it stopped. HF_ENDPOINT names a mirror; HF_TOKEN is a login, or"
        " what `hf auth login` stored.",
    )
    download.add_argument("name", metavar="NAME", help="mvdream-sd21 or mvdream-sd15")
    download.add_argument("--keep", action="store_true", help="keep the downloaded file")
    _add_conversion(download)

    convert = actions.add_parser("convert", help="make a model of a checkpoint that is here already")
    convert.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help=".safetensors, .pt or .ckpt file"
    )
    convert.add_argument("name", metavar="NAME", help="name of the new model")
    _add_conversion(convert)

    remove = actions.add_parser("remove", help="delete a model, or a half-finished download")
    remove.add_argument("name", metavar="NAME", help="a model in the models folder")


def _add_conversion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--half", action="store_true", help="store 16-bit weights: half the size on disk")
    parser.add_argument(
        "--config", type=Path, metavar="YAML", help="the checkpoint's configuration, if not a published one"
    )


def run(args: argparse.Namespace) -> int:
    """Does what was asked for. Raises UserError with what is in the way."""
    actions = {"list": _list, "info": _info, "download": _download, "convert": _convert, "remove": _remove}
    actions[args.action](args)
    return 0


def _list(args: argparse.Namespace) -> None:
    from backend.diffusion.catalogue import KNOWN
    from backend.diffusion.installation import downloaded_bytes, leftover_bytes
    from backend.diffusion.registry import SHIPPED, folders, models, models_folder
    from backend.hub.progress import format_bytes

    there = folders()
    readable = {entry.name for entry in models()}
    rows = [("NAME", "STATE", "SIZE", "FOLDER")]
    for name in sorted({*there, *KNOWN}):
        if name in there:
            state = "shipped" if there[name].parent == SHIPPED else "installed"
            rows.append(
                (name, state if name in readable else "damaged", _size(there[name]), str(there[name]))
            )
        elif (known := KNOWN[name]).source is not None:
            have = downloaded_bytes(name)
            state = f"{format_bytes(have)} downloaded" if have else "not downloaded"
            rows.append((name, state, f"about {format_bytes(known.about_bytes)}", "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        _say("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]))
    _say(f"\nModels folder: {models_folder()}")
    for name, count in leftover_bytes().items():
        _say(
            f"Broken-off work on {name} left {format_bytes(count)} there. The next download, conversion or"
            f" `python -m backend models remove {name}` clears it away."
        )


def _info(args: argparse.Namespace) -> None:
    from backend.diffusion.catalogue import KNOWN
    from backend.diffusion.inspection import folder_bytes, parts
    from backend.diffusion.installation import read_origin
    from backend.diffusion.registry import entry as find_in
    from backend.diffusion.registry import folders, resolve
    from backend.hub.progress import format_bytes

    known = KNOWN.get(args.name)
    if known is not None and known.source is not None and args.name not in folders():
        _say(f"{known.name}: {known.title}\n{known.description}")
        _say(f"  state         not downloaded, about {format_bytes(known.about_bytes)}")
        _say(f"  images        {known.views} views of {known.image_size} x {known.image_size} pixels")
        _say(f"  source        {known.source}\n  licence       {known.licence}, {known.licence_url}")
        _say(f"Get it with `python -m backend models download {known.name}`.")
        return
    folder = resolve(args.name)
    entry = find_in(args.name, folder)
    config = entry.config
    _say(f"{config.name}: {config.title or config.name}")
    _say(f"  folder        {folder} ({format_bytes(folder_bytes(folder))})")
    _say(f"  images        {config.views} views of {config.image_size} x {config.image_size} pixels")
    for part in parts(folder):
        amount = f"{part.parameters / 1e6:,.2f} M parameters, {'/'.join(part.precisions)}"
        _say(f"  {part.name:<14}{amount}, {format_bytes(part.bytes)}")
    _say(f"  prompts       {_prompts(entry)}")
    origin = read_origin(folder)
    if origin:
        commit = f" at {origin['commit'][:12]}" if origin.get("commit") else ""
        _say(f"  source        {origin.get('source', 'unknown')}{commit}")
        _say(f"  checksum      {origin.get('checksum', 'unknown')}")
        _say(f"  licence       {origin.get('licence', 'unknown')}, {origin.get('licence_url', '')}")
    elif known is not None and known.source is None:
        _say(f"  source        ships with the program\n  licence       {known.licence}, {known.licence_url}")


def _download(args: argparse.Namespace) -> None:
    from backend.commands.progress_bar import ProgressBar
    from backend.diffusion.catalogue import KNOWN
    from backend.diffusion.installation import install
    from backend.diffusion.registry import folders

    if args.name in KNOWN and KNOWN[args.name].source is not None and args.name in folders():
        _say(f"{args.name} is there already: {folders()[args.name]}")
        return
    with ProgressBar() as bar:
        if (known := KNOWN.get(args.name)) is not None and known.source is not None:
            bar.say(f"{known.title}, from {known.source}. Licence: {known.licence}, {known.licence_url}")
        try:
            folder = install(args.name, _draw(bar), half=args.half, keep=args.keep, config=args.config)
        except UserError as error:
            raise UserError(f"{error}{_way_on(args.name)}") from error
    _say(f"{args.name}: {folder}")


def _way_on(name: str) -> str:
    """What can be typed after a download that failed."""
    from backend.diffusion.installation import downloaded_bytes

    if not downloaded_bytes(name):
        return ""
    away = f"`python -m backend models remove {name}` throws away what is here"
    return f" The same command tries again; {away}."


def _convert(args: argparse.Namespace) -> None:
    from backend.commands.progress_bar import ProgressBar
    from backend.diffusion.installation import install_checkpoint

    with ProgressBar() as bar:
        folder = install_checkpoint(
            args.checkpoint, args.name, _draw(bar), half=args.half, config=args.config
        )
    _say(f"{args.name}: {folder}")
    if not (folder / "text_encoder").is_dir():
        _say("The checkpoint holds no text encoder: prompts can't be encoded with this model.")


def _remove(args: argparse.Namespace) -> None:
    from backend.diffusion.installation import remove

    _say(f"Removed {remove(args.name)}")


def _draw(bar: ProgressBar) -> Report:
    """A report that draws the bar. Its stage is the message up to its last colon: numbers come after."""
    from backend.progress import Progress

    def report(message: str, done: int, total: int) -> None:
        stage = message.rpartition(": ")[0]
        bar(Progress(stage=stage, fraction=min(done / total, 1.0) if total else 0.0, message=message))

    return report


def _prompts(entry: ModelEntry) -> str:
    if not entry.reads_prompts:
        return "none (no text encoder)"
    words = entry.words
    return "any text" if words is None else f"{len(words)} words"


def _size(folder: Path) -> str:
    from backend.diffusion.inspection import folder_bytes
    from backend.hub.progress import format_bytes

    return format_bytes(folder_bytes(folder))


def _say(line: str) -> None:
    print(line)  # noqa: T201 - the command's output
