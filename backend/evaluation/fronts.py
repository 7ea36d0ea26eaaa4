# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an object shows its front once: in front, and on no other side.

The front of the truth is a patch of parts that are seen from the front and hardly from behind (eyes, a door).
For every other side the question is what a generated view looks like where that patch would be, if it were
there: like the true side, or like the patch? The likeness is the share of the squared colour distance to
the side in that to both: 0 for the true side, 1 for the patch; more than a third is a second front
(varied true objects, blurred, stay below 0.15; fronts pasted on their sides above 0.45). The patch is tried
at many shifts, since a false second face may sit anywhere, and light is divided out first (the reference
tells how each pixel is lit), so that a dark side isn't taken for a dark face.
The scale's ends are taken from the references themselves: the true side and the front pasted there.
Objects whose front is only shape (Suzanne) are compared as lit pictures instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from backend.evaluation.color_space import to_linear, to_srgb
from backend.evaluation.heldout import Reference
from backend.evaluation.part_colors import Palette

FRONT, BACK = 0, 4  # views, 45 degrees apart
SIDES = (2, 4, 6)  # azimuths 90, 180, 270
SEEN_BEHIND = 0.25  # a part is of the front if the back shows less than this share of what the front shows
LEAST_PATCH = 60  # pixels; fewer are lost in the blur of a small model
SHIFTS = [(dy, dx) for dy in range(-8, 9, 2) for dx in range(-16, 17, 2)]
SMALL_SHIFTS = [(dy, dx) for dy in range(-6, 7, 2) for dx in range(-6, 7, 2)]
LEAST_DIFFERENT = 0.5  # of the patch must differ from the true side for a shift to say anything
DIFFERENT = 0.15  # sRGB distance
NEARBY = 3  # pixels
SECOND = 0.35
SEEN = 0.2  # small eyes blur; what shows the back instead has 0
LEAST_SPAN = 0.25  # between true side and pasted front; less says nothing (the front is hidden or too small)

Images = NDArray[np.float64]


@dataclass(frozen=True)
class FrontVerdict:
    """likeness: how much views look like the front by azimuth: 0 as the true side, 1 as the true front; at
    azimuth 0, 0 is the true back. Azimuths from which it can't be told are left out.
    second: azimuths with a second front. seen: whether the front is where it belongs."""

    likeness: dict[int, float]
    second: tuple[int, ...]
    seen: bool


def judge_front(images: NDArray[np.float32], reference: Reference, palette: Palette) -> FrontVerdict | None:
    """Verdict on views (8, H, W, 4) scaled as the reference; None where no front can be seen."""
    if not any(reference.fronts):
        return None
    patch = front_patch(reference)
    if patch is None:
        return None if reference.composed else _by_pictures(images, reference)
    truth = _true_albedo(reference, palette)
    measured = _likeness(images, reference, patch, truth)
    # the scale's ends, found on the truth itself: 0 what the true side has, 1 what a pasted front has
    zero = _likeness(reference.images, reference, patch, truth)
    pasted = {azimuth: _pasted(reference, azimuth) for azimuth in measured}
    likeness = {}
    for azimuth, value in measured.items():
        one = _likeness(pasted[azimuth], reference, patch, truth, (azimuth,))[azimuth]
        low, high = (zero[azimuth], one) if azimuth else (one, zero[azimuth])
        if high - low > LEAST_SPAN:
            likeness[azimuth] = (value - low) / (high - low)
    return _verdict(likeness)


def front_patch(reference: Reference) -> NDArray[np.bool_] | None:
    """(H, W): what of the front view belongs to parts that the back hardly shows; None for too little."""
    patch = np.zeros(reference.part_maps.shape[1:], dtype=bool)
    for part in reference.parts:
        if not reference.fronts[part.thing]:
            continue
        front = reference.part_maps[FRONT] == part.number
        behind = (reference.part_maps[BACK] == part.number).sum()
        base = next((p.color for p in reference.parts if p.thing == part.thing and p.role == "main"), None)
        if part.color != base and behind < SEEN_BEHIND * front.sum():
            patch |= front
    return patch if patch.sum() >= LEAST_PATCH else None


def _verdict(likeness: dict[int, float]) -> FrontVerdict:
    second = tuple(azimuth for azimuth, value in sorted(likeness.items()) if azimuth and value > SECOND)
    return FrontVerdict(likeness, second, likeness.get(0, 1.0) > SEEN)


def _likeness(
    images: NDArray[np.float32],
    reference: Reference,
    patch: NDArray[np.bool_],
    truth: Images,
    azimuths: tuple[int, ...] = (0, 90, 180, 270),
) -> dict[int, float]:
    """The largest likeness over all shifts, by azimuth."""
    albedo = _without_light(images, reference, truth)
    visible = (images[..., 3] > 0.5) & (reference.part_maps > 0)
    likeness = {}
    for azimuth in azimuths:
        view = azimuth // 45
        other = BACK if view == FRONT else view
        template = _Template(patch, truth[FRONT], truth[other], albedo[view], visible[view])
        shifts = SHIFTS if azimuth else SMALL_SHIFTS
        likeness[azimuth] = max(template.likeness(shift) for shift in shifts)
    return likeness


def _pasted(reference: Reference, azimuth: int) -> NDArray[np.float32]:
    """The reference with its front in place of the view at `azimuth`; at 0 with its back in front."""
    images = reference.images.copy()
    images[azimuth // 45] = reference.images[BACK if azimuth == 0 else FRONT]
    return images


class _Template:
    """A patch of the front, to be laid over one side.

    patch: (H, W). front, side: true colours without light, (H, W, 3). seen: the generated ones.
    visible: where `seen` means something.
    """

    def __init__(
        self,
        patch: NDArray[np.bool_],
        front: Images,
        side: Images,
        seen: Images,
        visible: NDArray[np.bool_],
    ) -> None:
        self.rows, self.columns = np.nonzero(patch)
        self.front = front[patch]
        self.side, self.seen, self.visible = side, seen, visible
        self.from_side = _distance_nearby(seen, side)

    def likeness(self, shift: tuple[int, int]) -> float:
        """How much nearer the view is to the patch moved by `shift` (rows, columns) than to the side."""
        height, width = self.visible.shape
        rows, columns = self.rows + shift[0], self.columns + shift[1]
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        inside[inside] &= self.visible[rows[inside], columns[inside]]
        apart = np.zeros(len(inside))
        apart[inside] = ((self.front[inside] - self.side[rows[inside], columns[inside]]) ** 2).sum(-1)
        told = apart > DIFFERENT**2
        if told.sum() < LEAST_DIFFERENT * len(told):
            return 0.0
        rows, columns = rows[told], columns[told]
        from_front = ((self.seen[rows, columns] - self.front[told]) ** 2).sum()
        from_side = self.from_side[rows, columns].sum()
        return float(from_side / max(from_side + from_front, 1e-9))


def _distance_nearby(seen: Images, truth: Images) -> Images:
    """(H, W): squared distance of every pixel's colour from the nearest colour the truth has within a few
    pixels, so that a true eye or tail a little off its place isn't held against a side."""
    height, width = seen.shape[:2]
    padded = np.pad(truth, ((NEARBY, NEARBY), (NEARBY, NEARBY), (0, 0)), mode="edge")
    least = np.full((height, width), np.inf)
    for dy in range(2 * NEARBY + 1):
        for dx in range(2 * NEARBY + 1):
            moved = padded[dy : dy + height, dx : dx + width]
            least = np.minimum(least, ((seen - moved) ** 2).sum(-1))
    return least


def _true_albedo(reference: Reference, palette: Palette) -> Images:
    """(8, H, W, 3): the palette's colour of the part at every pixel, black where there is none."""
    table = np.zeros((256, 3))
    for part in reference.parts:
        table[part.number] = palette[part.color]
    return table[reference.part_maps]


def _without_light(images: NDArray[np.float32], reference: Reference, truth: Images) -> Images:
    """Generated colours over the light the reference has at the same pixel, (8, H, W, 3) sRGB."""
    color = to_linear(truth)
    lit = to_linear(reference.images[..., :3].astype(np.float64))
    light = (lit * color).sum(-1) / np.maximum((color**2).sum(-1), 1e-6)
    # edges of parts are mixtures: the middle of the surroundings is a better guess of the light
    light = np.stack([ndimage.median_filter(view, 3) for view in np.clip(light, 0.15, 1.3)])
    unlit = to_srgb(to_linear(images[..., :3].astype(np.float64)) / light[..., None])
    return np.asarray(unlit, dtype=np.float64)


def _by_pictures(images: NDArray[np.float32], reference: Reference) -> FrontVerdict:
    """Which true view the lit pictures of the sides are nearer to: 0 the side, 1 the front."""
    likeness = {}
    for side in SIDES:
        near, far = (_difference(images[side], reference.images[view]) for view in (side, FRONT))
        likeness[side * 45] = near / max(near + far, 1e-9)
    near, far = (_difference(images[FRONT], reference.images[view]) for view in (FRONT, BACK))
    likeness[0] = far / max(near + far, 1e-9)
    return _verdict(likeness)


def _difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Mean squared difference of pictures (H, W, 4) on gray, over the union of their silhouettes."""
    area = (a[..., 3] > 0.5) | (b[..., 3] > 0.5)
    on_gray = [image[..., :3] * image[..., 3:] + 0.5 * (1 - image[..., 3:]) for image in (a, b)]
    return float(((on_gray[0] - on_gray[1]) ** 2)[area].mean()) if area.any() else 0.0
