# SPDX-License-Identifier: GPL-3.0-or-later
"""What a conversion will do, decided before any weight is read: which tensor goes where in which part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.diffusion.checkpoints import CheckpointFile
from backend.diffusion.config import ModelConfig
from backend.diffusion.tokenizer import Tokenizer
from backend.errors import UserError


@dataclass(frozen=True)
class Source:
    """A tensor of a checkpoint, or a third of one: query, key and value may lie in one tensor."""

    key: str
    third: int | None = None


@dataclass(frozen=True)
class Part:
    """One network of the new model.

    module: without memory for its weights (meta device). config: the text of its config.json. names: each
    parameter's source in `file`. flatten: whether 1x1 convolutions may have become linear layers.
    """

    name: str
    module: Any
    config: dict[str, Any]
    names: dict[str, Source]
    file: CheckpointFile
    flatten: bool = False

    def __post_init__(self) -> None:
        self._check()

    def _check(self) -> None:
        """Raises UserError naming a tensor that is absent, has another shape, or no floating point type."""
        for name, wanted in self.module.state_dict().items():
            source = self.names[name]
            info = self.file.tensors.get(source.key)
            if info is None:
                raise UserError(f"it lacks {source.key}.")
            if not info.is_float:
                kind = str(info.dtype).removeprefix("torch.")
                raise UserError(
                    f"{source.key} holds numbers of type {kind}, not the 16- or 32-bit floating point"
                    " numbers of"
                    " a network's weights. Quantized checkpoints can't be used; get the original one."
                )
            shape, expected = info.shape, tuple(wanted.shape)
            if source.third is not None:
                expected = (3 * expected[0], *expected[1:])
            if not (shape == expected or (self.flatten and shape == (*expected, 1, 1))):
                raise UserError(f"{source.key} has shape {list(shape)} where {list(expected)} is expected.")

    def layout(self, dtype: torch.dtype | None) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and type of each parameter once written; dtype None: the file's own."""
        state = self.module.state_dict()
        return {
            name: (tuple(state[name].shape), dtype or self._stored(source))
            for name, source in self.names.items()
        }

    def tensors(self, dtype: torch.dtype | None, skip: tuple[str, ...] = ()) -> Iterator[tuple[str, Tensor]]:
        """Each parameter in turn, read and cast. Raises UserError naming one that is not finite."""
        state = self.module.state_dict()
        for name, source in self.names.items():
            if not (skip and name.startswith(skip)):
                yield name, self._read(source, tuple(state[name].shape), dtype or self._stored(source))

    def _read(self, source: Source, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        tensor = self.file.read(source.key)
        if source.third is not None:
            tensor = tensor.chunk(3)[source.third]
        tensor = tensor.reshape(shape)
        if not _is_finite(tensor):
            raise UserError(
                f"The checkpoint {self.file.path} is spoilt: {source.key} holds values that are not finite"
                " (NaN or infinity). Download or copy it again."
            )
        cast = tensor.to(dtype)
        if dtype == torch.float16 and not _is_finite(cast):
            raise UserError(
                f"In the checkpoint {self.file.path} {source.key} holds values too large for 16 bits. Keep 32"
                " bits."
            )
        return cast

    def _stored(self, source: Source) -> torch.dtype:
        dtype = self.file.tensors[source.key].dtype
        assert isinstance(dtype, torch.dtype)  # checked when the part was made
        return torch.float32 if dtype == torch.float64 else dtype


def _is_finite(tensor: Tensor) -> bool:
    # Through the extremes, where NaN wins: a mask would be large for the largest tensors.
    low, high = tensor.aminmax()
    return bool(torch.isfinite(low) & torch.isfinite(high))


@dataclass(frozen=True)
class Plan:
    """A whole model: its configuration, its parts by name ("unet", "vae", "text") and its tokenizer."""

    config: ModelConfig
    parts: Mapping[str, Part]
    tokenizer: Tokenizer | None = None


def meta_module(kind: Any, config: Mapping[str, Any]) -> Any:
    """A diffusers module without memory for its weights."""
    with torch.device("meta"):
        return kind(**config)
