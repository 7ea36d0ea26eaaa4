# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that come apart: a cup above its foot, with the stem between them gone."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from backend.evaluation.outlines import Masks

SPECK = 0.01  # of a silhouette: what is smaller is no piece
BROKEN_VIEWS = 2
"""In so many views at least a broken object is in pieces; in one it may be chance."""


def broken_views(masks: Masks, truth: Masks, objects: int) -> int:
    """In how many views a silhouette of masks (V, H, W) is in more pieces than the true one.

    objects: how many the prompt asks for. Two may stand apart where the true ones cover each other.
    """
    return sum(pieces(mask) > max(pieces(true), objects) for mask, true in zip(masks, truth, strict=True))


def pieces(mask: Masks) -> int:
    """Connected pieces of a silhouette (H, W), also over corners, without specks."""
    label, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(label.ravel(), minlength=count + 1)[1:]
    return int((sizes >= SPECK * sizes.sum()).sum())
