# SPDX-License-Identifier: GPL-3.0-or-later
"""Overlap of silhouettes after the best scale, and the kind of object a silhouette looks like most.

Why a scale is searched: a prompt doesn't say how large the object is, and the camera conditioning of the
model leaves the distance out. It is one number for all views, about the centre of the image, where the
origin is. No shift is searched: centred on the origin is something a model has to learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Masks = NDArray[np.bool_]

SCALES = np.round(np.arange(0.75, 1.3001, 0.0125), 4)
SAME_OUTLINE = 0.9
NEARLY_BEST = 0.03
LEAST_IOU = 0.75


@dataclass(frozen=True)
class KindVerdict:
    """What a silhouette looks like: the nearest kind that has another outline than the true one, the overlap
    with it and with the true kind's canonical outline, and whether the true kind counts as recognised."""

    nearest_other: str
    other_iou: float
    true_iou: float
    right: bool


def mean_iou(a: Masks, b: Masks) -> float:
    """Intersection over union of masks (V, H, W), averaged over the views; two empty masks agree."""
    both = (a & b).sum(axis=(1, 2))
    either = (a | b).sum(axis=(1, 2))
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())


def best_scale(masks: Masks, truth: Masks) -> tuple[float, float]:
    """The scale of `masks` (V, H, W) at which it overlaps `truth` best, and the mean overlap there."""
    overlaps = [mean_iou(scaled_masks(masks, scale), truth) for scale in SCALES]
    best = int(np.argmax(overlaps))
    return float(SCALES[best]), overlaps[best]


def scaled_masks(masks: Masks, scale: float) -> Masks:
    """Masks (V, H, W) enlarged by `scale` about the image's centre; nearest pixels, empty beyond the edge."""
    rows, rows_inside = _source(masks.shape[1], scale)
    columns, columns_inside = _source(masks.shape[2], scale)
    inside = rows_inside[:, None] & columns_inside[None, :]
    return masks[:, rows[:, None], columns[None, :]] & inside


def scaled_images(images: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Images (V, H, W, 4) with straight alpha enlarged by `scale` about their centre."""
    if scale == 1.0:
        return images
    middle = (np.array(images.shape[1:3]) - 1) / 2
    premultiplied = images * np.concatenate(
        [images[..., 3:].repeat(3, -1), np.ones_like(images[..., 3:])], -1
    )
    result = np.empty_like(images)
    for view in range(len(images)):
        for channel in range(4):
            result[view, ..., channel] = ndimage.affine_transform(
                premultiplied[view, ..., channel], np.full(2, 1 / scale), middle - middle / scale, order=1
            )
    result[..., :3] /= np.maximum(result[..., 3:], 1e-4)
    return np.clip(result, 0.0, 1.0)


def halved(masks: Masks) -> Masks:
    """(V, H, W) -> (V, H/2, W/2): true where at least half of the four pixels are."""
    views, height, width = masks.shape
    return masks.reshape(views, height // 2, 2, width // 2, 2).mean(axis=(2, 4)) >= 0.5


def judge_kind(masks: Masks, kind: str, kinds: tuple[str, ...], outlines: Masks) -> KindVerdict:
    """Whether silhouettes (8, 64, 64) show a `kind`.

    The true kind must overlap them by 0.75 and by at most 0.03 less than any other kind's canonical outline
    (proportions vary in training, so a hair's breadth is no mistake). Kinds whose own outlines overlap by
    0.9 can't be told apart by outline (apple and ball) and aren't held against each other: their colours by
    part and their fronts are judged elsewhere. Every kind gets its own best scale.
    """
    true = kinds.index(kind)
    overlaps = _overlaps(masks, outlines)
    others = _overlaps(outlines[true], outlines) < SAME_OUTLINE
    other = int(np.argmax(np.where(others, overlaps, -1.0)))
    right = overlaps[true] >= max(LEAST_IOU, overlaps[other] - NEARLY_BEST)
    return KindVerdict(kinds[other], float(overlaps[other]), float(overlaps[true]), bool(right))


def _overlaps(masks: Masks, outlines: Masks) -> NDArray[np.float64]:
    """Best mean IoU over all scales of masks (V, h, w) with each of the outlines (K, V, h, w): (K,)."""
    kinds, views = outlines.shape[:2]
    flat = outlines.reshape(kinds, views, -1).transpose(1, 2, 0).astype(np.float32)  # (V, P, K)
    tried = np.stack([scaled_masks(masks, scale) for scale in SCALES])
    tried = tried.reshape(len(SCALES), views, -1).transpose(1, 0, 2).astype(np.float32)  # (V, S, P)
    both = tried @ flat
    either = tried.sum(-1)[:, :, None] + flat.sum(1)[:, None, :] - both
    return np.asarray((both / np.maximum(either, 1)).mean(0).max(0), dtype=np.float64)


def _source(size: int, scale: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    middle = (size - 1) / 2
    places = np.rint((np.arange(size) - middle) / scale + middle).astype(np.int64)
    inside = (places >= 0) & (places < size)
    return np.clip(places, 0, size - 1), inside
