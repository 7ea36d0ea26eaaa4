# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells from its first bytes what a file that claims to be a checkpoint really is. No torch."""

from __future__ import annotations

import enum
import re
import struct
import zipfile
from pathlib import Path

from backend.errors import UserError

_LFS = b"version https://git-lfs.github.com/spec/"
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head)\b", re.IGNORECASE | re.DOTALL)
_SHARD = re.compile(r"-\d{5}-of-(?!00001)\d{5}\.(safetensors|bin)$")
_GET_AGAIN = "Download it again"
# What zipfile raises beside BadZipFile: NotImplementedError is for a version that there never was.
_DAMAGED_ZIP = (OSError, ValueError, NotImplementedError, LookupError, OverflowError, struct.error)


class FileKind(enum.Enum):
    """The formats that checkpoints come in."""

    SAFETENSORS = "safetensors"
    ZIP = "zip"  # torch.save since 1.6
    PICKLE = "pickle"  # torch.save before


def examine(path: Path) -> FileKind:
    """The format of a checkpoint, by content: names lie. Raises UserError saying what else the file is."""
    try:
        with path.open("rb") as file:
            head = file.read(1024)
        size = path.stat().st_size
    except FileNotFoundError:
        raise UserError(f"There is no checkpoint {path}.") from None
    except OSError as error:
        raise UserError(f"The checkpoint {path} can't be read: {error.strerror or error}.") from error
    _refuse_text(path, head)
    if is_shard(path):
        raise UserError(shard_sentence(path))
    pickled = head.startswith(b"PK\x03\x04") or head[:1] == b"\x80"
    if pickled and path.suffix == ".safetensors":  # which torch.load would believe
        raise UserError(f"The file {path} is a PyTorch file in spite of its name. Rename it to end in .pt.")
    if pickled:
        return _zip(path, size) if head[:1] == b"P" else FileKind.PICKLE
    if head[8:9] == b"{":
        if int.from_bytes(head[:8], "little") + 8 > size:
            raise UserError(_cut(path, size))
        return FileKind.SAFETENSORS
    raise UserError(f"The file {path} is no checkpoint: it is neither a .safetensors nor a PyTorch file.")


def is_shard(path: Path) -> bool:
    """Whether a file is by its name one of several that hold a network's weights together."""
    return _SHARD.search(path.name) is not None


def shard_sentence(path: Path) -> str:
    """Why a shard is no checkpoint, and what to do."""
    return (
        f"The weights in {path.parent} are split over several files ({path.name}), which is not read. Save"
        ' the model in one file a part: with diffusers, `save_pretrained(folder, max_shard_size="100GB")`.'
    )


def _refuse_text(path: Path, head: bytes) -> None:
    if not head:
        raise UserError(f"The file {path} is empty. {_GET_AGAIN}.")
    if head.startswith(_LFS):
        raise UserError(
            f"The file {path} is a Git LFS pointer: it only names the checkpoint. Run `git lfs pull` where it"
            " was cloned, or download the file itself."
        )
    if _HTML.match(head):
        raise UserError(
            f"The file {path} is a web page, not a checkpoint: the download was answered with a page, perhaps"
            f" one that asks to log in. {_GET_AGAIN} with the direct link."
        )
    if _is_text(head):
        raise UserError(f"The file {path} is a text file, not a checkpoint. {_GET_AGAIN}.")


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else only a letter cut in two
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\t\r\n\f\ufeff" for letter in text)


def _zip(path: Path, size: int) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        # The list of contents is at the end of the file.
        raise UserError(_cut(path, size)) from None
    except _DAMAGED_ZIP as error:
        raise UserError(f"The checkpoint {path} is damaged ({error}). {_GET_AGAIN}.") from error
    if not any(name.endswith("data.pkl") for name in names):
        raise UserError(f"The file {path} is a zip archive, but no PyTorch checkpoint.")
    return FileKind.ZIP


def _cut(path: Path, size: int) -> str:
    return f"The checkpoint {path} is cut off after {size / 10**6:,.1f} MB: its end is missing. {_GET_AGAIN}."
