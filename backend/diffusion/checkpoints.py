# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads checkpoint files tensor by tensor, without ever running code from them or holding them whole."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from backend.diffusion.file_kinds import FileKind, examine
from backend.errors import UserError

# Pages of a mapped file count as used memory from the first touch on; a file opened anew starts at none.
_TOUCHED_LIMIT = 256 * 2**20
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_SAFETENSORS_TYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


@dataclass(frozen=True)
class TensorInfo:
    """What is known of a tensor before it is read. `dtype` is a name: files may hold types torch lacks."""

    shape: tuple[int, ...]
    dtype: torch.dtype | str

    @property
    def is_float(self) -> bool:
        """Whether these are numbers a network's weights may be."""
        return self.dtype in _FLOATS


class _Stored(Protocol):
    def infos(self) -> Iterator[tuple[str, TensorInfo]]: ...

    def tensor(self, key: str) -> Tensor: ...


class CheckpointFile:
    """The tensors of a `.safetensors` or pickled file (`.pt`, `.ckpt`, `.bin`; told apart by content).

    `tensors`: shapes and types by key. Raises UserError, with a sentence of its own for each thing that can
    be wrong with the file as a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kind = examine(path)
        self._stored = self._open()
        self.tensors: dict[str, TensorInfo] = dict(self._stored.infos())
        self._touched = 0

    def read(self, key: str) -> Tensor:
        """One tensor, mapped from the file if possible. Memory stays low if it is dropped before the next."""
        if self._touched > _TOUCHED_LIMIT:
            self._stored, self._touched = self._open(), 0
        try:
            tensor = self._stored.tensor(key)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise UserError(f"The checkpoint {self.path} can't be read: {error}.") from error
        self._touched += tensor.numel() * tensor.element_size()
        return tensor

    def _open(self) -> _Stored:
        if self._kind is FileKind.SAFETENSORS:
            return _Safetensors(self.path)
        return _Pickled(self.path, mapped=self._kind is FileKind.ZIP)


class _Safetensors:
    def __init__(self, path: Path) -> None:
        try:
            self._file: Any = safe_open(path, framework="pt").__enter__()
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"The checkpoint {path} is cut off or damaged ({error}). Download or copy it again."
            ) from error

    def infos(self) -> Iterator[tuple[str, TensorInfo]]:
        for key in self._file.keys():  # noqa: SIM118
            part = self._file.get_slice(key)
            dtype = part.get_dtype()
            yield key, TensorInfo(tuple(part.get_shape()), _SAFETENSORS_TYPES.get(dtype, dtype))

    def tensor(self, key: str) -> Tensor:
        return self._file.get_tensor(key)


class _Pickled:
    def __init__(self, path: Path, mapped: bool) -> None:
        try:
            # Files from before torch 1.6 are no zip archives and can't be mapped.
            with warnings.catch_warnings():
                # Of unusual pickles torch warns in words for programmers; whether it reads them counts.
                warnings.simplefilter("ignore")
                data = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except pickle.UnpicklingError as error:
            raise UserError(_refusal(path, str(error))) from error
        except MemoryError as error:  # a damaged length, or weights that are larger than what is free
            raise UserError(
                f"The checkpoint {path} is damaged, or too large for the memory of this computer."
            ) from error
        except Exception as error:  # a pickle is a program: a damaged one can end in any of them
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(
                f"The checkpoint {path} is cut off or damaged ({reason[:200]}). Download or copy it again."
            ) from error
        data = data.get("state_dict", data) if isinstance(data, dict) else data
        self._tensors = _plain(path, data)

    def infos(self) -> Iterator[tuple[str, TensorInfo]]:
        for key, tensor in self._tensors.items():
            yield key, TensorInfo(tuple(tensor.shape), tensor.dtype)

    def tensor(self, key: str) -> Tensor:
        return self._tensors[key].detach()


def _plain(path: Path, data: object) -> dict[str, Tensor]:
    if not isinstance(data, dict):
        raise UserError(
            f"The checkpoint {path} holds no dictionary of tensors but one value ({type(data).__name__})."
        )
    if not data:
        raise UserError(f"The checkpoint {path} is an empty dictionary: it holds no tensors.")
    for key, value in data.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise UserError(
                f"The checkpoint {path} is not a plain dictionary of tensors: {key!r} is"
                f" {type(value).__name__}."
            )
    return data


def _refusal(path: Path, reason: str) -> str:
    """Why torch did not unpickle a file, for people."""
    wanted = re.search(r"GLOBAL ([\w.]+)", reason)
    if wanted:
        return (
            f"The checkpoint {path} is refused: it holds more than tensors, and reading it would run"
            " Python code"
            f" ({wanted[1]}). Nothing was run. Get it as .safetensors from someone you trust."
        )
    cause = re.search(r"WeightsUnpickler error: (.+)", reason)
    return (
        f"The checkpoint {path} is damaged or holds more than tensors, and PyTorch's safe reader refuses it"
        f"{f' ({cause[1]})' if cause else ''}. Nothing in it was run."
    )
