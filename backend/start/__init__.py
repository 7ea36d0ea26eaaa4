# SPDX-License-Identifier: GPL-3.0-or-later
"""What an object starts from, where that is more than a blob."""

COARSE = " It may stay coarse with so few steps: take four times as many, or another seed."
"""What to say where an object that was to start from views starts from a ball: views spare three of four
steps (docs/schedule.md)."""
