# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference outputs of the original MVDream code (tests/data/goldens) and the networks they belong to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from backend.diffusion.model import MultiViewDiffusion

GOLDENS = Path(__file__).resolve().parents[1] / "data" / "goldens"


@cache
def _tiny(kind: str) -> MultiViewDiffusion:
    from backend.diffusion.convert import convert

    return convert(GOLDENS / f"tiny-{kind}.safetensors", GOLDENS / f"tiny-{kind}.yaml")


@cache
def _golden(name: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(GOLDENS / f"{name}.safetensors")


@pytest.fixture(scope="session")
def tiny() -> Callable[[str], MultiViewDiffusion]:
    """tiny("v21") or tiny("v15"): that small random network, converted. Shared, so not to be changed."""
    return _tiny


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Tensor]]:
    """golden("unet_v21"): all tensors of that file."""
    return _golden


@pytest.fixture(scope="session")
def relative_error() -> Callable[[Tensor, Tensor], float]:
    """Relative L2 error of two tensors of the same shape."""

    def error(actual: Tensor, expected: Tensor) -> float:
        assert actual.shape == expected.shape
        return float((actual.double() - expected.double()).norm() / expected.double().norm())

    return error


@pytest.fixture
def fresh_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's, with nothing that another run has compiled, and apart from the user's own folder."""
    import torch

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    torch.compiler.reset()
