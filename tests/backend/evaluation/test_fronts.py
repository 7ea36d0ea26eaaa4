# SPDX-License-Identifier: GPL-3.0-or-later
"""The front is seen once; a second face pasted on another side is found."""

import numpy as np
import pytest
from scipy import ndimage

from backend.evaluation.fronts import front_patch, judge_front

WORDS = [
    "lime clock",
    "orange ghost",
    "pink robot",
    "red pig",
    "purple suzanne",
    "cyan train",
    "yellow camera",
]


def blurred(images, sigma=1.2):
    alpha = images[..., 3:]
    mixed = ndimage.gaussian_filter(
        np.concatenate([images[..., :3] * alpha, alpha], -1), (0, sigma, sigma, 0)
    )
    mixed[..., :3] /= np.maximum(mixed[..., 3:], 1e-3)
    return np.clip(mixed, 0, 1)


@pytest.mark.parametrize("words", WORDS)
def test_truth_has_one_front(words, reference, heldout):
    truth = reference(words)
    for images in (truth.images, blurred(truth.images)):
        verdict = judge_front(images, truth, heldout.palette)
        assert verdict.second == ()
        assert verdict.seen


@pytest.mark.parametrize("words", WORDS)
def test_front_pasted_on_the_back_is_a_second_front(words, reference, heldout):
    truth = reference(words)
    images = truth.images.copy()
    images[4] = images[0]
    for janus in (images, blurred(images)):
        assert judge_front(janus, truth, heldout.palette).second == (180,)


@pytest.mark.parametrize("words", WORDS)
def test_faces_all_around_are_found_on_every_side(words, reference, heldout):
    truth = reference(words)
    images = truth.images[[0, 0, 0, 0, 0, 0, 0, 0]]
    assert judge_front(images, truth, heldout.palette).second == (90, 180, 270)


@pytest.mark.parametrize("words", WORDS)
def test_turned_around_the_front_is_missing(words, reference, heldout):
    truth = reference(words)
    images = np.roll(truth.images, 4, axis=0)
    verdict = judge_front(images, truth, heldout.palette)
    assert not verdict.seen
    assert 180 in verdict.second


def test_only_a_face_pasted_on_the_back(reference, heldout):
    truth = reference("orange ghost")
    images = truth.images.copy()
    patch = front_patch(truth)
    images[4][patch] = truth.images[0][patch]  # the body stays the back's
    assert judge_front(images, truth, heldout.palette).second == (180,)


def test_no_front_no_verdict(reference, heldout):
    truth = reference("cyan bucket")
    assert judge_front(truth.images, truth, heldout.palette) is None


def test_patch_is_the_clock_face(reference):
    clock = reference("lime clock")
    patch = front_patch(clock)
    face = next(part.number for part in clock.parts if part.role == "second")
    assert patch.sum() == (clock.part_maps[0] == face).sum()
