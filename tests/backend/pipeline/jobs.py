# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of whole jobs share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from backend.mesh import read_glb
from backend.pipeline import MESH, Result

STEPS = 12
Run = Callable[..., Result]


def vertices(folder: Path) -> bytes:
    return np.ascontiguousarray(read_glb(folder / MESH).vertices).tobytes()


class Stop:
    """Says yes when it is asked for the `after` + 1st time."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0
