# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: allow-untyped-defs, allow-untyped-calls
# (what @triton.jit compiles has Triton's types, not Python's)
"""Which bins of each ray lie in occupied cells: counted, then written down without gaps."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _chord(base_ptr, slope_ptr, ray, known, bound):
    """A ray's start and direction, and where it enters and leaves the sphere (the same where it misses)."""
    ox = tl.load(base_ptr + ray * 3, mask=known, other=0.0)
    oy = tl.load(base_ptr + ray * 3 + 1, mask=known, other=0.0)
    oz = tl.load(base_ptr + ray * 3 + 2, mask=known, other=0.0)
    dx = tl.load(slope_ptr + ray * 3, mask=known, other=0.0)
    dy = tl.load(slope_ptr + ray * 3 + 1, mask=known, other=0.0)
    dz = tl.load(slope_ptr + ray * 3 + 2, mask=known, other=0.0)
    middle = -(ox * dx + oy * dy + oz * dz)
    square = middle * middle - (ox * ox + oy * oy + oz * oz) + bound * bound
    half = tl.sqrt(tl.maximum(square, 0.0))
    near = tl.maximum(middle - half, 0.0)
    far = tl.where((square > 0.0) & known, middle + half, near)
    return ox, oy, oz, dx, dy, dz, near, far


@triton.jit
def _cell(origin, slope, t, resolution, bound):
    """Cell along one axis of the places t (rays, bins), clamped into the grid."""
    to_cells = resolution * 0.5 / bound
    place = (origin * to_cells + resolution * 0.5)[:, None] + t * (slope * to_cells)[:, None]
    return tl.minimum(tl.maximum(place.to(tl.int32), 0), resolution - 1)


@triton.jit(do_not_specialize=["rays"])
def march(
    origin_ptr, direction_ptr, jitter_ptr, mask_ptr, count_ptr, first_ptr, t_ptr, ray_ptr,
    rays, samples, resolution, bound, length,
    fill: tl.constexpr, jittered: tl.constexpr, masked: tl.constexpr,
    block: tl.constexpr, bins: tl.constexpr,
):  # fmt: skip
    """Counts each ray's samples into `count_ptr`, or (fill) writes their t and ray from first[ray] on."""
    ray = tl.program_id(0) * block + tl.arange(0, block)
    known = ray < rays
    ox, oy, oz, dx, dy, dz, near, far = _chord(origin_ptr, direction_ptr, ray, known, bound)
    place = tl.zeros([block], tl.float32) + 0.5
    if jittered:
        place = tl.load(jitter_ptr + ray, mask=known, other=0.5)
    found = tl.zeros([block], tl.int32)
    if fill:
        found += tl.load(first_ptr + ray, mask=known, other=0)
    # Chords are shorter than the diameter, and most much shorter: no bin is looked at beyond the longest.
    last = tl.minimum((tl.max(far - near, 0) / length).to(tl.int32) + 1, samples)
    for start in range(0, last, bins):
        index = start + tl.arange(0, bins)
        t = near[:, None] + (index.to(tl.float32)[None, :] + place[:, None]) * length
        keep = (t < far[:, None]) & (index < samples)[None, :]
        if masked:
            cx = _cell(ox, dx, t, resolution, bound)
            cy = _cell(oy, dy, t, resolution, bound)
            cz = _cell(oz, dz, t, resolution, bound)
            keep = keep & (
                tl.load(mask_ptr + (cx * resolution + cy) * resolution + cz, mask=keep, other=0) != 0
            )
        kept = keep.to(tl.int32)
        if fill:
            slot = found[:, None] + tl.cumsum(kept, 1) - 1
            tl.store(t_ptr + slot, t, mask=keep)
            tl.store(ray_ptr + slot, tl.broadcast_to(ray[:, None], [block, bins]), mask=keep)
        found += tl.sum(kept, 1)
    if not fill:
        tl.store(count_ptr + ray, found, mask=known)
