# SPDX-License-Identifier: GPL-3.0-or-later
"""Overlap after the best scale, and the nearest kind."""

import numpy as np
import pytest

from backend.evaluation.outlines import (
    SAME_OUTLINE,
    best_scale,
    halved,
    judge_kind,
    mean_iou,
    scaled_images,
    scaled_masks,
)


def square(side, size=64):
    low = (size - side) // 2
    masks = np.zeros((2, size, size), bool)
    masks[:, low : low + side, low : low + side] = True
    return masks


def test_iou_by_hand():
    a, b = np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool)
    a[0, 0, :3] = True  # view 0: 2 of 4 pixels in common, view 1: nothing in either
    b[0, 0, 1:] = True
    assert mean_iou(a, b) == pytest.approx((2 / 4 + 1) / 2)


def test_empty_generated_views_count_as_zero():
    assert best_scale(np.zeros((2, 64, 64), bool), square(20))[1] == 0.0


@pytest.mark.parametrize("side", [32, 40, 48])
def test_best_scale_is_the_ratio_of_sizes(side):
    scale, overlap = best_scale(square(side), square(40))
    assert scale == pytest.approx(40 / side, abs=0.03)
    assert overlap > 0.9


def test_scale_is_limited():
    assert best_scale(square(10), square(40))[0] == pytest.approx(1.3)


def test_enlarging_by_two_keeps_the_centre():
    assert (scaled_masks(square(16), 2.0) == square(32)).all()


def test_straight_alpha_survives_scaling():
    images = np.zeros((1, 32, 32, 4), np.float32)
    images[0, 8:24, 8:24] = (0.8, 0.2, 0.1, 1)
    larger = scaled_images(images, 1.25)
    inside = larger[..., 3] > 0.5
    assert inside.sum() == pytest.approx(20**2, rel=0.1)
    # edge pixels too are as red as the rest: black of the background isn't mixed in
    assert np.abs(larger[inside][:, :3] - (0.8, 0.2, 0.1)).max() < 0.02


def test_halved_needs_half():
    masks = np.zeros((1, 2, 4), bool)
    masks[0, 0, 0] = masks[0, 0, 2] = masks[0, 1, 3] = True
    assert halved(masks).tolist() == [[[False, True]]]


def test_true_outline_at_85_percent_comes_back(heldout):
    for reference in heldout.references[::6]:
        smaller = scaled_images(reference.images, 0.85)[..., 3] > 0.5
        scale, overlap = best_scale(smaller, reference.silhouettes)
        assert scale == pytest.approx(1 / 0.85, abs=0.02)
        # legs of two pixels lose a part of them to the pixel grid, twice
        assert overlap > (0.95 if reference.silhouettes.sum() > 8 * 1500 else 0.85), reference.prompt


def test_every_single_reference_is_its_kind(heldout):
    for reference in heldout.references:
        if not reference.composed:
            verdict = judge_kind(
                halved(reference.silhouettes), reference.kinds[0], heldout.kinds, heldout.outlines
            )
            assert verdict.right, reference.prompt


def test_another_kind_is_recognised_as_wrong(heldout):
    names = [ref.kinds[0] for ref in heldout.references if not ref.composed]
    for ref in heldout.references[:40:10]:
        masks = halved(ref.silhouettes)
        true = heldout.kinds.index(ref.kinds[0])
        for name in names[::3]:
            alike = best_scale(heldout.outlines[heldout.kinds.index(name)], heldout.outlines[true])[1]
            if alike < SAME_OUTLINE - 0.03:
                assert not judge_kind(masks, name, heldout.kinds, heldout.outlines).right, (ref.prompt, name)
