# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether every part of an object has the colour the prompt gave it.

A generated texture holds the light of the pictures its model learned from, so colours are compared with the
palette under the same shade: the shade of a part in a view is the reference's colour there over the palette's
(one factor, the light is white). The colour of the palette that, so shaded, is nearest in OKLab must be the
true one. Parts with a fixed colour (eyes, wheels) are not judged: the prompt doesn't name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from backend.evaluation.color_space import to_linear, to_oklab
from backend.evaluation.heldout import Part, Reference

JUDGED_ROLES = ("main", "second")
LEAST_PIXELS = 40  # inside a part, over all views; fewer are mostly mixtures with what is around
LEAST_THIN = 160  # in all, for a part so thin that it has no inside
SURE = 0.8
LEAST_IN_VIEW = 4
EROSION = 2  # pixels, so that outlines that are a little off don't count as wrong colours
LEAST_COVERED = (
    0.25  # of a part that must be inside the generated silhouette for its colour to be there at all
)
LEAST_PATTERN = 0.4  # of either colour's true share of a pattern

Palette = Mapping[str, NDArray[np.float64]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PartColor:
    """Verdict on one part: kind and role, the colour it should have, the one seen most, the share (0..1) of
    its pixels in views that show the right colour, and whether that is enough."""

    kind: str
    role: str
    expected: str
    seen: str
    share: float
    right: bool


def judge_colors(images: NDArray[np.float32], reference: Reference, palette: Palette) -> list[PartColor]:
    """Verdicts on all parts the prompt gives a colour to.

    images: (8, H, W, 4) generated views, scaled as the reference.
    """
    verdicts = []
    for thing, kind in enumerate(reference.kinds):
        parts = {part.role: part for part in reference.parts if part.thing == thing}
        if reference.patterned[thing]:
            verdicts += _pattern(images, reference, palette, kind, parts["main"], parts["pattern"])
        for role in JUDGED_ROLES:
            if role in parts and not (role == "main" and reference.patterned[thing]):
                verdicts += _plain(images, reference, palette, kind, parts[role])
    return verdicts


def _plain(
    images: NDArray[np.float32], reference: Reference, palette: Palette, kind: str, part: Part
) -> list[PartColor]:
    mask = _interior(reference.part_maps == part.number)
    if mask is None:
        return []
    truth = _votes(reference.images, reference, palette, part, mask)
    if truth.get(part.color, 0.0) < SURE:
        return []  # too small or thin: not even the truth shows its colour purely
    covered = mask & (images[..., 3] > 0.5)
    if covered.sum() < LEAST_COVERED * mask.sum():
        return [PartColor(kind, part.role, part.color, "missing", 0.0, False)]
    votes = _votes(images, reference, palette, part, covered)
    return [_verdict(kind, part, votes)]


def _pattern(
    images: NDArray[np.float32], reference: Reference, palette: Palette, kind: str, main: Part, other: Part
) -> list[PartColor]:
    """Where stripes and dots lie is not in the prompt: pixels of the patterned surface are sorted by which
    of the two colours is nearer; either colour must have a fair share, and the purer half of its pixels
    (edges are mixtures) the right colour."""
    own = {part: (reference.part_maps == part.number) & reference.silhouettes for part in (main, other)}
    area = (own[main] | own[other]) & (images[..., 3] > 0.5)
    if not area.any():
        return [PartColor(kind, part.role, part.color, "missing", 0.0, False) for part in (main, other)]
    lab = to_oklab(to_linear(images[..., :3].astype(np.float64)))
    lead = np.zeros(area.shape)  # by how much a pixel is nearer to the main colour
    for view in range(len(images)):
        distances = []
        for part in (main, other):
            shade = _shade(reference, palette, part, own[main] | own[other], view)
            target = to_oklab(to_linear(palette[part.color]) * shade)
            distances.append(np.linalg.norm(lab[view] - target, axis=-1))
        lead[view] = distances[1] - distances[0]
    verdicts = []
    for part, purity in ((main, lead), (other, -lead)):
        chosen = area & (purity > 0)
        true_share = own[part].sum() / (own[main] | own[other]).sum()
        votes: dict[str, float] = {}
        if chosen.sum() / area.sum() >= LEAST_PATTERN * true_share:
            pure = chosen & (purity >= np.median(purity[chosen]))
            votes = _votes(images, reference, palette, part, pure, own[main] | own[other])
        verdicts.append(_verdict(kind, part, votes or {"missing": 1.0}))
    return verdicts


def _verdict(kind: str, part: Part, votes: dict[str, float]) -> PartColor:
    seen = max(votes, key=lambda name: votes[name])
    share = votes.get(part.color, 0.0)
    return PartColor(kind, part.role, part.color, seen, share, share > 0.5)


def _votes(
    images: NDArray[np.float32],
    reference: Reference,
    palette: Palette,
    part: Part,
    chosen: Mask,
    lit: Mask | None = None,
) -> dict[str, float]:
    """Every view votes with its pixels for the palette's colour nearest to its median; the sum is 1."""
    names = list(palette)
    linear = to_linear(np.stack([palette[name] for name in names]))
    votes: dict[str, float] = {}
    for view in range(len(images)):
        pixels = images[view, ..., :3][chosen[view]]
        if len(pixels) < LEAST_IN_VIEW:
            continue
        seen = to_oklab(to_linear(np.median(pixels.astype(np.float64), axis=0)))
        shade = _shade(reference, palette, part, chosen if lit is None else lit, view)
        nearest = int(np.argmin(np.linalg.norm(to_oklab(linear * shade) - seen, axis=-1)))
        votes[names[nearest]] = votes.get(names[nearest], 0.0) + len(pixels)
    total = sum(votes.values())
    return {name: count / total for name, count in votes.items()} if total else {"missing": 1.0}


def _shade(reference: Reference, palette: Palette, part: Part, area: Mask, view: int) -> float:
    """How light falls on a part in a view of the reference: its linear colour over the palette's."""
    own = area[view] & (reference.part_maps[view] == part.number)
    if not own.any():
        own = reference.part_maps[view] == part.number
    if not own.any():
        return 0.7  # hidden in the reference: what a wall in the middle of the light has
    color = to_linear(palette[part.color])
    seen = to_linear(np.median(reference.images[view, ..., :3][own].astype(np.float64), axis=0))
    return float(np.clip(seen @ color / (color @ color), 0.05, 1.5))


def _interior(mask: Mask) -> Mask | None:
    """The mask without its edges, as far as enough is left; None for a part too small to judge."""
    square = np.ones((1, 3, 3), dtype=bool)
    for iterations in range(EROSION, 0, -1):
        inner = ndimage.binary_erosion(mask, square, iterations=iterations)
        if inner.sum() >= LEAST_PIXELS:
            return np.asarray(inner, dtype=bool)
    return mask if mask.sum() >= LEAST_THIN else None
