# SPDX-License-Identifier: GPL-3.0-or-later
"""Which encodings of the radiance field can be had here."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from backend.doctor.facts import Encoding
from backend.doctor.probing import ask

# A package that makes the hash grid fast, and the module of ours that uses it, the best first.
# tinycudann is not among them: `benchmarks/field.py` measures it, jobs do not use it.
ACCELERATED = {"triton": "hash_grid_triton.py"}
HASH, DENSE = "hash grid in PyTorch", "dense grids"
_RADIANCE = Path(__file__).resolve().parents[1] / "radiance"


def find_encodings(on_gpu: bool) -> tuple[Encoding, ...]:
    """All encodings, the best first. on_gpu: whether jobs run on one, as the accelerated ones need it."""
    accelerated = [_examine(package, module, on_gpu) for package, module in ACCELERATED.items()]
    return (*accelerated, Encoding(HASH, True), Encoding(DENSE, True))


def choose(encodings: tuple[Encoding, ...], on_gpu: bool) -> str:
    """The one that a job uses unless its settings say otherwise. On a CPU dense grids are the fastest."""
    if not on_gpu:
        return DENSE
    return next(encoding.name for encoding in encodings if encoding.usable)


def main(names: list[str]) -> None:
    """In the child: imports a package that may crash."""
    for name in names:
        importlib.import_module(name)


def _examine(package: str, module: str, on_gpu: bool) -> Encoding:
    if not _is_there(package):
        return Encoding(package, False, "not installed (not needed)")
    if not (_RADIANCE / module).is_file():
        return Encoding(package, False, "installed, but this version of the backend does not use it")
    if not on_gpu:
        return Encoding(package, False, "needs a GPU that PyTorch can use")
    broken = ask("backend.doctor.encodings", package, patience=120).error
    return Encoding(package, not broken, f"installed, but it does not start: {broken}" if broken else "")


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
