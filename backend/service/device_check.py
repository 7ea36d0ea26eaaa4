# SPDX-License-Identifier: GPL-3.0-or-later
"""Which devices a worker can't have, as far as that can be known without importing torch.

What is left, such as a card that is switched off, the worker finds out and says.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from functools import cache
from pathlib import Path

from backend.errors import UserError


def refuse_missing_device(name: str) -> None:
    """Raises UserError for a device that is certainly not here. Other names, also unknown ones, are fine."""
    if name == "mps" and sys.platform != "darwin":
        raise UserError(
            "The device 'mps' is not there: this is no Mac with an Apple GPU. Choose 'auto' or 'cpu'."
        )
    if name.partition(":")[0] == "cuda" and not may_have_cuda():
        raise UserError(
            f"The device {name!r} is not there: the backend's PyTorch is built for processors only. Choose"
            " 'auto' or 'cpu', or install a PyTorch for the graphics card."
        )


def may_have_cuda() -> bool:
    """False where the PyTorch of this Python, which is the workers' too, has neither CUDA nor ROCm."""
    return any(_builds().get(name, True) for name in ("cuda", "hip"))


@cache
def _builds() -> dict[str, str | None]:
    """`torch.version.cuda` and `.hip`, as far as they can be read."""
    spec = importlib.util.find_spec("torch")  # of a package without a dot: nothing is imported
    if spec is None or spec.origin is None:
        return {}
    return read_builds(Path(spec.origin).with_name("version.py"))


def read_builds(file: Path) -> dict[str, str | None]:
    """The plain values of `cuda` and `hip` in torch's version.py; names it does not give are left out."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return {}
    found: dict[str, str | None] = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        value = getattr(node, "value", None)
        for target in targets:
            if not isinstance(target, ast.Name) or not isinstance(value, ast.Constant):
                continue
            if target.id in ("cuda", "hip") and isinstance(value.value, str | None):
                found[target.id] = value.value
    return found
