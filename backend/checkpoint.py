# SPDX-License-Identifier: GPL-3.0-or-later
"""One file that holds an optimisation in the middle: modules, optimiser, step.

Safetensors, so data and never code.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from backend.adam import AdamW

log = logging.getLogger(__name__)


def write_checkpoint(
    path: Path, modules: Mapping[str, nn.Module], optimizer: AdamW, step: int, identity: str, note: str = ""
) -> None:
    """Writes beside, then renames, so that there is a whole checkpoint at any time.

    Args:
        path: of the file.
        modules: by name; all parameters and persistent buffers are kept.
        optimizer: its state of each parameter is kept; its settings are not.
        step: steps taken.
        identity: what the checkpoint belongs to; only the same identity reads it.
        note: what the user should know at the end of the job; `note_of` reads it.
    """
    tensors = {
        f"module.{name}.{key}": value.detach().contiguous()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    for index, parameter in enumerate(_parameters(optimizer)):
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value).detach().contiguous()
    scratch = path.with_name(path.name + ".part")
    save_file(tensors, str(scratch), metadata={"step": str(step), "identity": identity, "note": note})
    os.replace(scratch, path)


def find_checkpoint(path: Path, identity: str) -> None:
    """Puts at `path` what this identity may go on from, and sets another's beside it: maybe hours of work.

    The other is brought back in the same way by its own job.
    """
    found = _metadata(path)
    owner = (found or {}).get("identity")
    if owner == identity:
        return
    if found is not None and owner:
        aside = _aside(path, owner)
        os.replace(path, aside)
        log.warning(
            "Another job was interrupted here at step %s: it had other settings, another model or another"
            " version of this program. Its work is kept in %s, and the same settings with the same version go"
            " on from there; delete the file if nobody wants it.",
            found.get("step", "?"),
            aside,
        )
    own = _aside(path, identity)
    if own.is_file():
        os.replace(own, path)


def note_of(path: Path) -> str:
    """What a checkpoint's job has to say to the user; "" where there is none."""
    return (_metadata(path) or {}).get("note", "")


def _aside(path: Path, identity: str) -> Path:
    # An identity is a hash; whatever a file claims to be must not lead elsewhere.
    word = "".join(letter for letter in identity if letter.isalnum())
    return path.with_name(f"{path.stem}-{word[:12]}{path.suffix}")


def _metadata(path: Path) -> dict[str, str] | None:
    """What a checkpoint says of itself; None where there is none, or none that can be read."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return None


def read_checkpoint(
    path: Path, modules: Mapping[str, nn.Module], optimizer: AdamW, identity: str
) -> int | None:
    """Puts a checkpoint back and returns its step; None when this identity has none, or it is broken."""
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("identity") != identity:
                log.info("The checkpoint %s belongs to other settings; starting anew.", path)
                return None
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        log.warning("The checkpoint %s can't be read (%s); starting anew.", path, error)
        return None
    states = {name: _section(tensors, f"module.{name}.") for name in modules}
    if not all(_fits(module, states[name]) for name, module in modules.items()) or "step" not in metadata:
        log.warning("The checkpoint %s does not fit this version; starting anew.", path)
        return None
    for name, module in modules.items():
        module.load_state_dict(states[name])
    _restore(optimizer, tensors)
    return int(metadata["step"])


def _fits(module: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Whether a module would take a state; asked of all modules before any is changed."""
    return {k: v.shape for k, v in module.state_dict().items()} == {k: v.shape for k, v in state.items()}


def _restore(optimizer: AdamW, tensors: Mapping[str, Tensor]) -> None:
    for index, parameter in enumerate(_parameters(optimizer)):
        state = _section(tensors, f"optimizer.{index}.")
        # "step" stays where Adam keeps it for this device; the moments live with their parameter
        optimizer.state[parameter] = {k: v.to(parameter.device) for k, v in state.items()}


def _section(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _parameters(optimizer: AdamW) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
