# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the density at which a soft field has its surface."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import UserError

log = logging.getLogger(__name__)

LEVELS = 96
PLATEAU = 0.003
"""Levels whose score is this close to the best one count as equally good."""
FAINTEST = 0.1
"""A field whose densest line of sight is less opaque than this holds no object."""


def find_threshold(density: NDArray[np.floating[Any]], spacing: float) -> float:
    """The level whose solid has the silhouettes that the volume itself shows.

    density: (X, Y, Z) samples >= 0 on a regular grid, per world unit as the volume renderer uses it;
    spacing: their distance. The field is looked at along its three axes and both horizontal diagonals. Along
    a line of sight the opacity is 1 - exp(-sum(density) * step); the solid {density > level} covers it when
    the line's largest sample is above the level. The level with the best soft intersection over union of the
    two, sum(min(opacity, cover)) / sum(max(opacity, cover)), wins. On a sharp field a whole range of levels
    scores alike and its geometric middle is taken. So the answer follows the field's own scale, whether it
    peaks at 10 or 10,000, and fog that never turns opaque falls away.

    Raises UserError when no line of sight is FAINTEST opaque.
    """
    opacity, peak, weight = _lines_of_sight(density, spacing)
    if not len(opacity) or float(opacity.max()) < FAINTEST:
        raise UserError(
            "The optimised field is empty: there is nothing in it to make a mesh of. "
            "Try more steps, another seed or a plainer prompt."
        )
    levels = np.geomspace(float(density.max()) * 1e-3, float(density.max()) * 0.95, LEVELS)
    scores = np.array([_soft_iou(opacity, peak > level, weight) for level in levels])
    good = levels[scores >= scores.max() - PLATEAU]
    threshold = float(np.exp(np.log(good).mean()))
    log.debug("surface at density %.3g, silhouettes agree to %.3f", threshold, scores.max())
    return threshold


def _lines_of_sight(
    density: NDArray[np.floating[Any]], spacing: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Opacity, largest sample and relative pixel area of every line along axes and horizontal diagonals."""
    sums, peaks, weights = [], [], []

    def add(lines: NDArray[np.floating[Any]], axis: int, step: float, weight: float) -> None:
        sums.append(lines.sum(axis=axis, dtype=np.float64).ravel() * step)
        peaks.append(lines.max(axis=axis).ravel().astype(np.float64))
        weights.append(np.full(sums[-1].size, weight))

    for axis in range(3):
        add(density, axis, spacing, 1.0)
    for turned in (density, density[:, ::-1]):
        # Neighbouring diagonals are 1 / sqrt(2) apart, and the samples along one sqrt(2).
        for offset in range(1 - density.shape[0], density.shape[1]):
            add(turned.diagonal(offset, 0, 1), -1, spacing * 2**0.5, 0.5**0.5)
    opacity = 1 - np.exp(-np.concatenate(sums))
    seen = opacity > 1e-4
    return opacity[seen], np.concatenate(peaks)[seen], np.concatenate(weights)[seen]


def _soft_iou(opacity: NDArray[np.float64], cover: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    both = (weight * opacity)[cover].sum()
    either = weight[cover].sum() + (weight * opacity)[~cover].sum()
    return float(both / either)
