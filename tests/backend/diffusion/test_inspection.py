# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
from pathlib import Path

import pytest

from backend.diffusion.inspection import Part, folder_bytes, parts, read_header
from backend.errors import UserError


def write(path: Path, header: bytes, data: bytes = b"") -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path.stat().st_size


def test_parts_are_counted_over_all_their_files(tmp_path: Path) -> None:
    one = b'{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]}}'
    two = (
        b'{"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]},'
        b'"c":{"dtype":"F16","shape":[5,0],"data_offsets":[4,4]}}'
    )
    size = write(tmp_path / "unet" / "1.safetensors", one, bytes(12))
    size += write(tmp_path / "unet" / "2.safetensors", two, bytes(4))
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "vocab.json").write_text("123")
    assert parts(tmp_path) == [Part("unet", 2 * 3 + 1, ("F16", "F32"), size)]
    assert folder_bytes(tmp_path) == size + 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 7) + b'{"a":1}',
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors is broken"):
        read_header(path)
