# SPDX-License-Identifier: GPL-3.0-or-later
"""What the field's share of a step must cost at least: counted by hand, as our own kernels do not count."""

from __future__ import annotations

from dataclasses import dataclass

from backend.settings import Numbers

CORNERS, FEATURES = 8, 2
"""Entries of the table that a level's value is made of, and numbers of an entry."""
OUTPUTS = 1 + 3
"""Density and colour."""
READ, ADDED = 2, 4
"""Bytes of a number of the table as it is read (half precision), and of its gradient (float32)."""
OPTIMISED = (4 + 3) * 4
"""Bytes that the optimiser reads (parameter, gradient, two moments) and writes (all but the gradient)."""


@dataclass(frozen=True)
class FieldWork:
    """Of a step.

    flop: of the networks' products. least: bytes that must be moved however good the caches are. uncached:
    bytes that the corners of all samples were to move if no cache and no register helped; no bound, but it
    says how much work they do.
    """

    flop: float
    least: float
    uncached: float


def field_work(samples: float, numbers: Numbers, parameters: int) -> FieldWork:
    """Rendering that many samples and learning from them, in a field with a hash grid.

    The networks' products on the way there, and twice as many on the way back. At least the table is read
    once, its gradient is written once, and the optimiser goes over both. Left out: rays, compositing, and
    what normals cost. parameters: of the field, nearly all of them the table's.
    """
    features = numbers.hash_levels * FEATURES
    products = (2 * features + OUTPUTS) * numbers.hidden
    return FieldWork(
        flop=samples * 3 * 2 * products,
        least=parameters * (READ + ADDED + OPTIMISED),
        uncached=samples * numbers.hash_levels * CORNERS * FEATURES * (READ + ADDED),
    )
