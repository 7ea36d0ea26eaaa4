# SPDX-License-Identifier: GPL-3.0-or-later
"""The contact sheet: for every prompt four true views above the four generated ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from backend.evaluation.heldout import Reference
from backend.evaluation.report import faults
from backend.evaluation.scoring import Score

SHOWN = (0, 2, 4, 6)  # azimuths 0, 90, 180, 270
SIDE = 88
LINE = 14
MARGIN = 6
COLUMNS = 5
BACKGROUND = (225, 225, 225)
GOOD, BAD = (30, 120, 40), (200, 20, 20)
CELL = (len(SHOWN) * SIDE + MARGIN, 2 * SIDE + 2 * LINE + MARGIN + 4)


def contact_sheet(
    results: Sequence[tuple[Reference, Score, NDArray[np.uint8] | None]], columns: int = COLUMNS
) -> Image.Image:
    """One cell a prompt: caption with a mark, true views, generated views (8, H, W, 4) as judged, faults."""
    columns = max(1, min(columns, len(results)))
    rows = -(-len(results) // columns)
    sheet = Image.new("RGB", (columns * CELL[0] + MARGIN, rows * CELL[1] + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for place, (reference, score, views) in enumerate(results):
        left = MARGIN + place % columns * CELL[0]
        top = MARGIN + place // columns * CELL[1]
        wrong = faults(score)
        color = BAD if wrong else GOOD
        mark = "WRONG" if wrong else "ok"
        _text(draw, (left, top), f"{mark} {score.iou:.2f}  {reference.prompt}", color, font)
        _row(sheet, (left, top + LINE), np.rint(reference.images * 255).astype(np.uint8))
        if views is not None:
            _row(sheet, (left, top + LINE + SIDE), views)
        _text(draw, (left, top + LINE + 2 * SIDE), "; ".join(wrong), color, font)
        if wrong:
            box = (left - 3, top - 2, left + CELL[0] - MARGIN + 1, top + CELL[1] - MARGIN)
            draw.rectangle(box, outline=BAD, width=2)
    return sheet


def _row(sheet: Image.Image, at: tuple[int, int], views: NDArray[np.uint8]) -> None:
    for place, view in enumerate(SHOWN):
        picture = Image.fromarray(views[view], "RGBA").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        sheet.paste(picture, (at[0] + place * SIDE, at[1]), picture)


def _text(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, color: tuple[int, int, int], font: Any
) -> None:
    """As much of the text as fits the cell."""
    width = CELL[0] - MARGIN - 4
    if draw.textlength(text, font=font) > width:
        while text and draw.textlength(text + "…", font=font) > width:
            text = text[:-1]
        text += "…"
    draw.text(at, text, fill=color, font=font)
