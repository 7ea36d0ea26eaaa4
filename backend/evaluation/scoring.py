# SPDX-License-Identifier: GPL-3.0-or-later
"""All verdicts on one mesh."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.evaluation.breaks import BROKEN_VIEWS, broken_views
from backend.evaluation.floaters import count_floaters
from backend.evaluation.fronts import FrontVerdict, judge_front
from backend.evaluation.heldout import HeldOut, Reference
from backend.evaluation.outlines import (
    LEAST_IOU,
    KindVerdict,
    best_scale,
    halved,
    judge_kind,
    scaled_images,
)
from backend.evaluation.part_colors import PartColor, judge_colors
from backend.mesh.rendering import render_mesh
from backend.mesh.tri_mesh import TriMesh


@dataclass(frozen=True)
class Score:
    """What is measured of one prompt.

    slug, prompt: of the reference. seconds: from the call of the pipeline to the finished file, None where
    unknown. error: why there is no mesh; then the rest is as bad as can be.
    iou: mean silhouette overlap over 8 azimuths at the best scale. scale: that scale.
    kind: verdict on the kind, None for two objects. colors: of all parts. front: None without one.
    floaters: how many pieces hang in the air. broken_views: in how many views the silhouette is in more
    pieces than the true one.
    """

    slug: str
    prompt: str
    seconds: float | None = None
    error: str | None = None
    iou: float = 0.0
    scale: float = 1.0
    kind: KindVerdict | None = None
    colors: list[PartColor] = field(default_factory=list)
    front: FrontVerdict | None = None
    floaters: int = 0
    broken_views: int = 0

    @property
    def kind_right(self) -> bool:
        """The kind is recognised, and the shape overlaps the truth by 0.75; two objects need the latter only,
        since there are no outlines of all pairs to compare with."""
        return self.error is None and self.iou >= LEAST_IOU and (self.kind is None or self.kind.right)

    @property
    def colors_right(self) -> bool:
        """Every part has the colour the prompt gave it."""
        return self.error is None and all(part.right for part in self.colors)

    @property
    def right(self) -> bool:
        """Right in kind and colours."""
        return self.kind_right and self.colors_right

    @property
    def broken(self) -> bool:
        """It came apart."""
        return self.broken_views >= BROKEN_VIEWS

    @property
    def second_front(self) -> bool:
        """There is a second front."""
        return self.front is not None and bool(self.front.second)

    @property
    def front_missing(self) -> bool:
        """The front is not where it belongs."""
        return self.front is not None and not self.front.seen


def generated_views(mesh: TriMesh, reference: Reference) -> NDArray[np.float32]:
    """(8, H, W, 4): the mesh's texture without light, from the reference's cameras."""
    height, width = reference.part_maps.shape[1:]
    return render_mesh(mesh, reference.c2w, reference.fov, height, width, supersample=2)


def score_mesh(
    mesh: TriMesh, reference: Reference, heldout: HeldOut, seconds: float | None = None
) -> tuple[Score, NDArray[np.float32]]:
    """All verdicts on a mesh, and its views (8, H, W, 4) as they were judged (at the best scale)."""
    return score_views(generated_views(mesh, reference), reference, heldout, seconds, mesh)


def score_views(
    images: NDArray[np.float32],
    reference: Reference,
    heldout: HeldOut,
    seconds: float | None = None,
    mesh: TriMesh | None = None,
) -> tuple[Score, NDArray[np.float32]]:
    """As `score_mesh`, from views (8, H, W, 4) with straight alpha; floaters only where the mesh is given."""
    masks = images[..., 3] > 0.5
    scale, iou = best_scale(masks, reference.silhouettes)
    aligned = scaled_images(images, scale)
    kind = None
    if not reference.composed:
        kind = judge_kind(halved(masks), reference.kinds[0], heldout.kinds, heldout.outlines)
    score = Score(
        slug=reference.slug,
        prompt=reference.prompt,
        seconds=seconds,
        iou=iou,
        scale=scale,
        kind=kind,
        colors=judge_colors(aligned, reference, heldout.palette),
        front=judge_front(aligned, reference, heldout.palette),
        floaters=0 if mesh is None else count_floaters(mesh, reference, scale),
        broken_views=broken_views(masks, reference.silhouettes, 2 if reference.composed else 1),
    )
    return score, aligned
