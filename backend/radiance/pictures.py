# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of one optimisation step, and the way of a loss on them back into the field.

Where all rays with their samples do not fit in memory, the pictures are first rendered without a graph, and
then again in parts, each of which is given its share of the gradient ("deferred back-propagation", Zhang et
al. 2022, ARF, section 4.3): the same gradients for a second rendering instead of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from backend.radiance.field import RadianceField
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendered import Rendered
from backend.radiance.rendering import render
from backend.radiance.shading import Light

if TYPE_CHECKING:
    from backend.radiance.fused.marching import Marched

Loss = Callable[[Tensor], Tensor]
"""Images (V, H, W, 3) to a scalar."""
Regularisers = Callable[[Rendered, Tensor, int, Tensor], Tensor]
"""(rendered rays, their directions (R, 3), rays of all pictures, how many of those hit) to a scalar."""


@dataclass(frozen=True)
class Pictures:
    """V views of a field, H x W rays each.

    origins, directions: (V, H, W, 3); jitter: (V H W,) in 0..1; samples: bins across the field; normals:
    "none", "analytic" or "finite" with `normal_step` in world units.
    """

    field: RadianceField
    occupancy: OccupancyGrid
    origins: Tensor
    directions: Tensor
    jitter: Tensor
    samples: int
    light: Light
    normals: str
    normal_step: float
    _marched: dict[tuple[int, int], Marched] = field(default_factory=dict, init=False, repr=False)

    @property
    def rays(self) -> int:
        """Of all pictures."""
        return self.jitter.numel()

    @torch.no_grad()
    def march(self, chunk: int = 0) -> None:
        """Finds the samples now rather than in `backward`, if kernels are to render them.

        chunk: rays at a time, 0 for all, as `backward` will be told; for parts of other rays it looks anew.
        """
        self._marched.clear()
        if not self.field.fused or self.normals == "finite":
            return
        from backend.radiance.fused.marching import march

        width, height = self.directions.shape[2], self.directions.shape[1]
        for part in self._parts(chunk):
            whole = part.start % (width * height) == 0 and (part.stop - part.start) % (width * height) == 0
            self._marched[part.start, part.stop] = march(
                self.field.bound,
                self.occupancy,
                self.origins.reshape(-1, 3)[part],
                self.directions.reshape(-1, 3)[part],
                self.samples,
                self.jitter[part],
                width if whole else 0,
            )

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All it was made of and has found; not the field's and the grid's."""
        light = () if self.light.position is None else (self.light.position,)
        found = [tensor for marched in self._marched.values() for tensor in marched.tensors]
        return self.origins, self.directions, self.jitter, *light, *found

    def render(self, part: slice, background: Tensor) -> Rendered:
        """The rays in `part` of the flattened (V H W); background: (V H W, 3)."""
        pixels = self.directions[0, :, :, 0].numel()

        def shade(colour: Tensor, normals: Tensor | None, points: Tensor, ray: Tensor) -> Tensor:
            view = (ray + part.start).div(pixels, rounding_mode="floor")
            return self.light.shade(colour, normals, points, view)

        under_light = None if self.light.look == "albedo" else shade
        if (marched := self._marched.get((part.start, part.stop))) is not None:
            from backend.radiance.fused.rendering import render_marched

            analytic = self.normals == "analytic"
            return render_marched(self.field, marched, background[part], analytic, under_light)
        return render(
            self.field,
            self.occupancy,
            self.origins.reshape(-1, 3)[part],
            self.directions.reshape(-1, 3)[part],
            background[part],
            self.samples,
            self.jitter[part],
            normals=self.normals,
            normal_step=self.normal_step,
            shade=under_light,
        )

    def backward(self, loss: Loss, regularisers: Regularisers, background: Tensor, chunk: int = 0) -> Tensor:
        """Adds the gradients of loss + regularisers to the field and the background; returns the images.

        background: (V, H, W, 3) in 0..1; chunk: rays with a graph at a time, 0 for all.
        """
        if chunk <= 0 or chunk >= self.rays:
            return self._at_once(loss, regularisers, background.reshape(-1, 3))
        return self._in_parts(loss, regularisers, background.reshape(-1, 3), chunk)

    def _at_once(self, loss: Loss, regularisers: Regularisers, background: Tensor) -> Tensor:
        rendered = self.render(slice(0, self.rays), background)
        images = rendered.rgb.view_as(self.directions)
        hit = (rendered.opacity.detach() > 0).sum()
        directions = self.directions.reshape(-1, 3)
        (loss(images) + regularisers(rendered, directions, self.rays, hit)).backward()
        return images.detach()

    def _in_parts(self, loss: Loss, regularisers: Regularisers, flat: Tensor, chunk: int) -> Tensor:
        # The parts share the background's graph, so it is cut here and finished at the end.
        behind = flat.detach().requires_grad_(flat.requires_grad)
        images, hit = self._look(behind, chunk)
        images.requires_grad_()
        loss(images).backward()
        assert images.grad is not None
        gradient = images.grad.reshape(-1, 3)
        for part in self._parts(chunk):
            rendered = self.render(part, behind)
            directions = self.directions.reshape(-1, 3)[part]
            share = (rendered.rgb * gradient[part]).sum()
            (share + regularisers(rendered, directions, self.rays, hit)).backward()
        if behind.grad is not None:
            flat.backward(behind.grad)
        return images.detach()

    @torch.no_grad()
    def _look(self, behind: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
        """Images without a graph, and how many rays see anything."""
        images, hits = [], []
        for part in self._parts(chunk):
            seen = self.render(part, behind)
            images.append(seen.rgb)
            hits.append((seen.opacity > 0).sum())
        return torch.cat(images).view_as(self.directions), torch.stack(hits).sum()

    def _parts(self, chunk: int) -> Iterator[slice]:
        chunk = chunk if chunk > 0 else self.rays
        for start in range(0, self.rays, chunk):
            yield slice(start, min(start + chunk, self.rays))
