# SPDX-License-Identifier: GPL-3.0-or-later
"""Long text as lines for a panel, whose labels do not wrap. Never imports bpy."""

import textwrap

POINTS_A_LETTER = 6.2
MARGIN = 46.0


def letters(width: float, ui_scale: float = 1.0) -> int:
    """How many letters fit into a region `width` pixels wide, 20 at least."""
    return max(20, int((width / max(ui_scale, 0.1) - MARGIN) / POINTS_A_LETTER))


def lines(text: str, width: int) -> list[str]:
    """All of `text` in lines of at most `width` letters; its own line breaks stay, long words are broken."""
    width = max(width, 8)
    result: list[str] = []
    for paragraph in text.splitlines():
        result += textwrap.wrap(paragraph, width, break_on_hyphens=False) or [""]
    return result
