# SPDX-License-Identifier: GPL-3.0-or-later
"""Silhouettes in pieces, drawn by hand."""

from collections.abc import Callable

import numpy as np

from backend.evaluation.breaks import broken_views, pieces
from backend.evaluation.heldout import HeldOut, Reference
from backend.evaluation.scoring import score_views


def goblet(stem: int, views: int = 4) -> np.ndarray:
    """(views, 32, 32): a cup and a foot with a stem whose last rows are missing; with 8 rows it is whole."""
    masks = np.zeros((views, 32, 32), bool)
    masks[:, 4:14, 8:24] = True
    masks[:, 14 : 14 + stem, 15:17] = True
    masks[:, 22:26, 10:22] = True
    return masks


def test_pieces_touch_over_corners_and_specks_are_none() -> None:
    mask = np.zeros((16, 16), bool)
    assert pieces(mask) == 0
    mask[:8, :8] = True
    mask[8:, 8:] = True
    assert pieces(mask) == 1
    mask[0, 15] = True  # 1 of 129 pixels
    assert pieces(mask) == 1
    mask[:2, 14:] = True  # 4 of 132
    assert pieces(mask) == 2


def test_a_gap_in_the_stem_is_counted_in_every_view_that_shows_it() -> None:
    whole = goblet(8)
    assert broken_views(whole, whole, 1) == 0
    assert broken_views(goblet(6), whole, 1) == 4
    half = np.concatenate((goblet(6, 2), goblet(8, 2)))
    assert broken_views(half, whole, 1) == 2


def test_what_is_in_pieces_in_truth_may_be() -> None:
    assert broken_views(goblet(6), goblet(6), 1) == 0


def test_a_mesh_is_scored_by_it(reference: Callable[[str], Reference], heldout: HeldOut) -> None:
    bottle = reference("green bottle")
    assert score_views(bottle.images, bottle, heldout)[0].broken_views == 0
    images = bottle.images.copy()
    images[:3, 60:68] = 0
    score, _ = score_views(images, bottle, heldout)
    assert (score.broken_views, score.broken) == (3, True)


def test_two_objects_may_stand_apart_but_not_come_apart() -> None:
    whole, apart = goblet(8), goblet(8)
    apart[:, 10:20, 27:31] = True  # a block beside it
    assert broken_views(apart, whole, 2) == 0
    apart[:, 20:22] = False  # the stem's end is gone
    assert broken_views(apart, whole, 2) == 4
