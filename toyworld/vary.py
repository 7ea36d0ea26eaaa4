# SPDX-License-Identifier: GPL-3.0-or-later
"""Varied proportions of the toy objects."""

import random


class Vary:
    """Draws proportions: `vary(0.4)` is 0.4 within ten percent, and exactly 0.4 for the canonical object.

    Args:
        rng: source of randomness; None makes the canonical object that evaluation compares with.
        spread: largest relative change.
    """

    def __init__(self, rng: random.Random | None = None, spread: float = 0.1):
        self.rng = rng
        self.spread = spread

    def __call__(self, value: float) -> float:
        if self.rng is None:
            return value
        return value * self.rng.uniform(1 - self.spread, 1 + self.spread)
