# SPDX-License-Identifier: GPL-3.0-or-later
"""Published checkpoints to model folders: the original layout, and folders that others made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from backend.diffusion.config import CONFIG_FILE
from backend.diffusion.folder_swap import replace_folder, require_place
from backend.diffusion.model import MultiViewDiffusion
from backend.diffusion.part_modules import place_positions, stored_name
from backend.diffusion.places import PLACES, part_folder, weights_file
from backend.diffusion.plan import Part, Plan
from backend.diffusion.safetensors_writer import SafetensorsWriter, size
from backend.diffusion.text import TextEncoder
from backend.errors import UserError

Report = Callable[[str, int, int], None]
_SPARE_BYTES = 50 * 2**20  # for the tokenizer, and so that the disk is not filled to the brim


def convert_file(
    checkpoint: Path,
    out: Path,
    *,
    config: Path | None = None,
    name: str | None = None,
    dtype: torch.dtype | None = None,
    report: Report | None = None,
    accept: Callable[[Plan], None] | None = None,
) -> None:
    """Write the model in `checkpoint` as a folder that `load` reads. Takes little memory: a tensor at a time.

    checkpoint: a file in the original layout (.pt, .ckpt, .safetensors), or a folder in that of
    `ashawkey/mvdream-sd2.1-diffusers` or in diffusers' own. config: the YAML of an original file; without it
    the architecture is read off the tensors' shapes, which works where the number of attention heads is
    known: a text context 1024 wide means heads of 64 channels (2.1), one of 768 means 8 heads (1.5). name: of
    the model, by default the folder's. dtype: precision on disk, by default that of the file. report(stage,
    done, total): called after each tensor with the part's name ("unet", "vae", "text") and bytes; what it
    raises ends the conversion. accept: called with what was found before anything is written; the same holds.

    The folder is written beside `out` and then renamed, so `out` is never half a model; an earlier model
    there is replaced. Raises UserError for each thing that can be wrong with the file, the folder or the
    disk.
    """
    require_place(out)
    plan = plan_conversion(checkpoint, config, name or model_name(out))
    if accept is not None:
        accept(plan)
    layouts = {part.name: part.layout(dtype) for part in plan.parts.values()}
    total = sum(size(layout) for layout in layouts.values())
    with replace_folder(out, total + _SPARE_BYTES) as folder:
        done = 0

        def wrote(stage: str, count: int) -> None:
            nonlocal done
            done += count
            if report is not None:
                report(stage, done, total)

        for part in plan.parts.values():
            _write_part(part, folder, dtype, wrote)
        if plan.tokenizer is not None:
            (folder / "tokenizer").mkdir()
            for file, text in plan.tokenizer.files().items():
                (folder / "tokenizer" / file).write_text(text, encoding="utf-8")
        (folder / CONFIG_FILE).write_text(plan.config.model_dump_json(indent=1) + "\n", encoding="utf-8")


def convert(
    checkpoint: str | Path, config: str | Path | None = None, name: str | None = None
) -> MultiViewDiffusion:
    """The same in memory: float32, on the CPU. Tensors of a float32 file stay mapped from it."""
    checkpoint = Path(checkpoint)
    plan = plan_conversion(
        checkpoint, None if config is None else Path(config), name or model_name(checkpoint)
    )
    return assemble(plan)


def plan_conversion(checkpoint: Path, config: Path | None, name: str) -> Plan:
    """What will go where. Raises UserError if anything is missing, unknown or misshapen."""
    if checkpoint.is_dir():
        from backend.diffusion.foreign_folders import plan_folder

        if config is not None:
            raise UserError(f"{checkpoint} is a folder, which has its own configuration: leave out {config}.")
        return plan_folder(checkpoint, name)
    from backend.diffusion.original.layout import plan_original

    return plan_original(checkpoint, config, name)


def assemble(
    plan: Plan,
    parts: Iterable[str] = tuple(PLACES),
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    skip: tuple[str, ...] = (),
) -> MultiViewDiffusion:
    """The model of a plan in memory. skip: beginnings of the autoencoder's parameters to leave out."""
    found = {}
    for part in (plan.parts[name] for name in parts if name in plan.parts):
        left_out = skip if part.name == "vae" else ()
        weights = {name: tensor.to(device) for name, tensor in part.tensors(dtype, left_out)}
        for child in {name.split(".")[0] for name in left_out}:
            setattr(part.module, child, None)
        part.module.load_state_dict(weights, strict=True, assign=True)
        found[part.name] = part.module
    text = None
    if "text" in found and plan.tokenizer is not None:
        place_positions(found["text"], device)
        text = TextEncoder(found["text"], plan.tokenizer)
    return MultiViewDiffusion(plan.config, found.get("unet"), found.get("vae"), text).freeze()


def model_name(path: Path) -> str:
    """The name of a file or folder made fit to be a model's name."""
    stem = path.resolve().name if path.suffix not in (".pt", ".ckpt", ".safetensors") else path.stem
    return re.sub(r"[^A-Za-z0-9._]+", "-", stem).strip("-._") or "converted"


def _write_part(
    part: Part, folder: Path, dtype: torch.dtype | None, wrote: Callable[[str, int], None]
) -> None:
    home = part_folder(folder, part.name)
    home.mkdir()
    (home / "config.json").write_text(json.dumps(part.config, indent=1, default=str) + "\n", encoding="utf-8")
    layout = {stored_name(part.name, name): entry for name, entry in part.layout(dtype).items()}
    with SafetensorsWriter(weights_file(folder, part.name), layout) as writer:
        for name, tensor in part.tensors(dtype):
            writer.write(stored_name(part.name, name), tensor)
            wrote(part.name, tensor.numel() * tensor.element_size())
