# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a .safetensors file tensor by tensor; the library's own writer wants all of them in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

_NAMES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64"}
Layout = Mapping[str, tuple[tuple[int, ...], torch.dtype]]


def size(layout: Layout) -> int:
    """Bytes of the tensors of a file, its header left out."""
    return sum(_bytes(shape, dtype) for shape, dtype in layout.values())


class SafetensorsWriter:
    """A context: the header is written at once, then `write` appends the tensors in the order of `layout`.

    layout: shape and type by name. The file is complete when the context ends without an exception.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.layout = dict(layout)
        self._waiting = list(layout)[::-1]
        self._file = path.open("wb")
        header = _header(layout)
        self._file.write(len(header).to_bytes(8, "little") + header)

    def write(self, name: str, tensor: Tensor) -> None:
        """Append the next tensor. Raises ValueError if it is not the one whose turn it is."""
        expected = self._waiting.pop()
        if name != expected or (tuple(tensor.shape), tensor.dtype) != self.layout[name]:
            raise ValueError(f"{name} is not {expected} as announced")
        # The bytes of the tensor's own memory: numpy has no bfloat16, and a copy would double the need.
        self._file.write(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                if self._waiting:
                    raise ValueError(f"{len(self._waiting)} announced tensors were not written")
                self._file.flush()
                os.fsync(self._file.fileno())


def _header(layout: Layout) -> bytes:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, (shape, dtype) in layout.items():
        end = place + _bytes(shape, dtype)
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    return text + b" " * (-len(text) % 8)  # the data begin at a multiple of 8


def _bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    count = 1
    for length in shape:
        count *= length
    return count * dtype.itemsize
