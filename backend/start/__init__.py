# SPDX-License-Identifier: GPL-3.0-or-later
"""What an object starts from, where that is more than a blob."""

ENOUGH_STEPS = 240
"""For the shipped model to shape an object from a ball (docs/schedule.md)."""


def coarse(steps: int) -> str:
    """What to say where an object that was to start from views starts from a ball; "" where nothing."""
    return (
        f" It may stay coarse: from a ball {ENOUGH_STEPS} steps are enough." if steps < ENOUGH_STEPS else ""
    )
