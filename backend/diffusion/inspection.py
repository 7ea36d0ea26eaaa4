# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a model folder, read from the headers of its files: no torch, no weights read."""

from __future__ import annotations

import contextlib
import json
import math
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.diffusion.places import part_folder, weights_file
from backend.errors import UserError

_LONGEST_HEADER = 100_000_000

# A model without a text encoder can still be trained on.
_NEEDED = ("unet", "vae")
_SETTINGS = {"unet": ("block_out_channels",), "vae": ("block_out_channels",), "text": ()}
REMEDY = "Remove the model, and download or convert it again."


@dataclass(frozen=True)
class Part:
    """One part of a model: its weights' parameters, precisions and bytes."""

    name: str
    parameters: int
    precisions: tuple[str, ...]
    bytes: int


def read_json(path: Path) -> dict[str, Any]:
    """The settings in a JSON file of a model. Raises UserError naming a missing or broken file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"The model is incomplete: {path} is missing.") from None
    except OSError as error:
        raise UserError(f"The model file {path} can't be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"The model file {path} is broken: it is no JSON.") from error
    if not isinstance(data, dict):
        raise UserError(f"The model file {path} is broken: it holds no settings.")
    return data


def parts(folder: Path) -> list[Part]:
    """The parts with weights, by name. Raises UserError naming a file that is no safetensors file."""
    homes = sorted({path.parent for path in folder.glob("*/*.safetensors")})
    return [_part(home) for home in homes]


def require_whole(folder: Path) -> None:
    """Raises UserError naming the first file of a model's parts that is missing, cut off or broken.

    Quick: of weights only the headers are read. Of a folder that has no part at all none is asked for, and
    nobody asks for the small image encoder before it is wanted.
    """
    there = [part for part in _SETTINGS if part_folder(folder, part).is_dir()]
    with remedied():
        for part in dict.fromkeys([*_NEEDED, *there] if there else []):
            config = part_folder(folder, part) / "config.json"
            settings = read_json(config)
            if lacking := [name for name in _SETTINGS[part] if not settings.get(name)]:
                raise UserError(f"The model file {config} is broken: it lacks {', '.join(lacking)}.")
            path = weights_file(folder, part)
            if _whole_bytes(path) != path.stat().st_size:
                raise UserError(f"The model file {path} is cut off.")


@contextlib.contextmanager
def remedied() -> Iterator[None]:
    """What is wrong with a model's files is told with the way out."""
    try:
        yield
    except UserError as error:
        if str(error).endswith(REMEDY):
            raise
        raise UserError(f"{error} {REMEDY}") from error


def folder_bytes(folder: Path) -> int:
    """Size of all files in a folder, whatever comes and goes meanwhile."""
    return files_bytes(folder.rglob("*"))


def files_bytes(paths: Iterable[Path]) -> int:
    """Size of those that are files, and still there when it is asked for."""
    total = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Precision and shape of every tensor in a safetensors file: 8 bytes of length, then JSON.

    Raises UserError when the file is missing or none.
    """
    with _told(path):
        return {
            name: (str(info["dtype"]), tuple(int(side) for side in info["shape"]))
            for name, info in _raw_header(path)[0].items()
        }


def _whole_bytes(path: Path) -> int:
    """How long the file is by its header."""
    with _told(path):
        header, length = _raw_header(path)
        return 8 + length + max((int(info["data_offsets"][1]) for info in header.values()), default=0)


def _raw_header(path: Path) -> tuple[dict[str, Any], int]:
    """The JSON of the tensors, and its length."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _LONGEST_HEADER:
            raise ValueError("its header is too long")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header, length


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"The model is incomplete: {path} is missing.") from None
    except OSError as error:
        raise UserError(f"The model file {path} can't be read: {error.strerror or error}.") from error
    except (ValueError, struct.error, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"The model file {path} is broken: it is cut off, or no safetensors file.") from error


def _part(home: Path) -> Part:
    files = sorted(home.glob("*.safetensors"))
    tensors = [tensor for file in files for tensor in read_header(file).values()]
    return Part(
        name=home.name,
        parameters=sum(math.prod(shape) for _, shape in tensors),
        precisions=tuple(sorted({precision for precision, _ in tensors})),
        bytes=sum(file.stat().st_size for file in files),
    )
