# SPDX-License-Identifier: GPL-3.0-or-later
"""What the field's share of a step must cost at least: counted by hand, as our own kernels do not count."""

from __future__ import annotations

from backend.settings import Numbers

CORNERS, FEATURES = 8, 2
"""Entries of the table that a level's value is made of, and numbers of an entry."""
OUTPUTS = 1 + 3
"""Density and colour."""
READ, ADDED = 2, 4
"""Bytes of a number of the table as it is read (half precision), and of its gradient (float32)."""
OPTIMISED = (4 + 3) * 4
"""Bytes that the optimiser reads (parameter, gradient, two moments) and writes (all but the gradient)."""


def field_work(samples: float, numbers: Numbers, parameters: int) -> tuple[float, float]:
    """(FLOP, bytes) of rendering that many samples and learning from them, in a field with a hash grid.

    The networks' products on the way there, and twice as many on the way back; each corner's entry read once
    and its gradient added to once, as if no cache and no register helped; the optimiser. Left out: rays,
    compositing, and what normals cost. parameters: of the field.
    """
    features = numbers.hash_levels * FEATURES
    products = (2 * features + OUTPUTS) * numbers.hidden
    gathered = numbers.hash_levels * CORNERS * FEATURES * (READ + ADDED)
    return samples * 3 * 2 * products, samples * gathered + parameters * OPTIMISED
