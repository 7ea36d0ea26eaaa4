# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums of a map that the kernel which wrote it made along the way, for the norm that comes next.

What lies between the two knows nothing of them and hands the map on: so the map carries them itself.
"""

from __future__ import annotations

from torch import Tensor

_NAME = "_channel_sums"


def with_sums(x: Tensor, partial: Tensor) -> Tensor:
    """x, which from now on carries its `partial` (B, splits, 2, C): sums of x and x² over pixels."""
    setattr(x, _NAME, (partial, x._version))
    return x


def sums_of(x: Tensor) -> Tensor | None:
    """What x carries; None if that is nothing, or x was changed since."""
    partial, version = getattr(x, _NAME, (None, None))
    return partial if partial is not None and version == x._version else None
