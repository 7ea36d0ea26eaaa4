# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that rendering takes, by places on rays ("bins"), with its way back to the field. Pure arithmetic.

How they were found: estimation.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from backend.settings import Numbers

Kernels = Literal["none", "grid", "field"]
"""Which Triton kernels run here: none, those of the hash grid, or those of the whole field too."""

BIN_BYTES = 40
"""A place on a ray, sample or not: 16 bytes are kept for the backward pass, the rest while marching."""
RAY_BYTES = 300
"""Origin, direction, background and the learned background's activations."""

DENSE_BYTES = 189
"""Kept for a sample by a dense grid of 4 levels of 4, read by slices as a processor does.

8 more for each hidden unit of the networks.
"""
HASH_BYTES, HASH_LEVEL_BYTES = 29, 105
"""The same by the hash grid in plain PyTorch: 1709 with 16 levels."""
TRITON_BYTES, TRITON_LEVEL_BYTES = 57, 8
"""The same by its Triton kernels, which keep positions and features only: 185 with 16 levels."""
ANALYTIC_FACTOR = 7.0
"""Normals from a second derivative keep plain PyTorch's intermediates so many times."""
ANALYTIC_TRITON_BYTES = 48
"""With the grid's kernels they keep the features' gradient, and this."""
FINITE_POINTS = 4
"""Normals by finite differences ask for the density so many times more."""
TRANSIENT, ANALYTIC_TRANSIENT = 1.3, 1.7
"""Peak over what is kept for the backward pass.

On an H100 1.16 (hash) and 1.21 (dense) were measured; on a CPU, as resident memory of a hash grid of 16
levels, 1.29 without normals, 1.43 with finite and 1.69 with analytic ones.
"""
LOOK_BYTES = {"dense": 96, "hash": 320, "triton": 185}
"""Without gradients, for a point, beside 8 for each hidden unit: 832 were measured for the hash grid."""
GAPS_SHARE, GAPS_BYTES = 1.0, 1100 * 2**20
"""On a CPU tensors below 32 MiB come from a heap with gaps: this much more for a hash grid, at most so much.

With half a million samples, whose tensors are the largest that the heap gets, it took 1.8 (16 levels) to 1.95
times (4) the above, 1.0 with a million, and 1.1 with 1.5 million in a step of the draft recipe (5.1 GB).
"""

FOUND_BYTES = 8
"""The field's kernels: distance and ray of each sample of all rays, found before any is rendered."""
FUSED_BYTES, FUSED_LEVEL_BYTES = 36, 4
"""Besides: density, colour and their gradients, and weights. A level's two features in half precision."""
FUSED_NORMAL_BYTES = 174
"""Slope, its gradient, and what PyTorch needs for normals and light."""


def found_share(numbers: Numbers) -> float:
    """The part of all bins that is in occupied cells, at most.

    The volume of a ball, and of the rim of occupied cells around it. The most in three jobs at resolution 48
    was 0.243; fresh fields, whose ball is smaller, have 0.21 at 32 and 0.12 at 128.
    """
    return min(1.0, 0.78 * (0.58 + 4.5 / numbers.occupancy_resolution) ** 3)


def seen_share(numbers: Numbers) -> float:
    """Of those, what light reaches: all of a fresh field, which is fog. Later it was 0.146 at most, at 48."""
    return min(1.0, 0.78 * (0.5 + 4.5 / numbers.occupancy_resolution) ** 3)


def is_fused(numbers: Numbers, device_type: str, kernels: Kernels) -> bool:
    """Whether the field's kernels render these numbers (backend.radiance.fused.field.suits)."""
    finite = numbers.needs_normals and numbers.normals == "finite"
    plain = numbers.network_bias == "no" and numbers.hidden <= 64 and not finite
    return kernels == "field" and plain and numbers.encoding_on(device_type) == "hash"


def found_bytes(rays: int, numbers: Numbers, device_type: str, kernels: Kernels) -> int:
    """What is kept of samples that are not being rendered. rays: of all pictures."""
    if not is_fused(numbers, device_type, kernels):
        return 0
    return round(FOUND_BYTES * found_share(numbers) * rays * numbers.samples_per_ray)


def sample_bytes(
    rays: int, numbers: Numbers, device_type: str, kernels: Kernels, crowding: float = 1.0
) -> int:
    """Of rays that are rendered with gradients together. crowding: how much more they see than average."""
    bins = rays * numbers.samples_per_ray
    if is_fused(numbers, device_type, kernels):
        return round(bins * crowding * found_share(numbers) * fused_bytes(numbers))
    kind = _kind(numbers, device_type, kernels)
    rough = ANALYTIC_TRANSIENT if kind == "hash" and _normals(numbers, kind) == "analytic" else TRANSIENT
    look = found_share(numbers) * look_bytes(numbers, device_type, kernels)
    kept = seen_share(numbers) * kept_bytes(numbers, kind) * rough
    count = bins * (BIN_BYTES + crowding * max(look, kept))
    if kind == "hash" and device_type == "cpu":
        count += gaps(count)
    return round(count)


def gaps(count: float) -> float:
    """What a CPU's heap holds beyond the `count` bytes of a hash grid's tensors."""
    return min(GAPS_SHARE * count, GAPS_BYTES)


def look_bytes(numbers: Numbers, device_type: str, kernels: Kernels) -> float:
    """For a point where the field is looked at without gradients."""
    if is_fused(numbers, device_type, kernels):
        return 0.0
    return LOOK_BYTES[_kind(numbers, device_type, kernels)] + 8.0 * numbers.hidden


def fused_bytes(numbers: Numbers) -> float:
    """For a sample, by the field's kernels: features, their gradient, with normals one more such array."""
    level = FUSED_LEVEL_BYTES * numbers.hash_levels
    return FUSED_BYTES + 2 * level + (FUSED_NORMAL_BYTES + level if numbers.needs_normals else 0)


def kept_bytes(numbers: Numbers, kind: str) -> float:
    """For a sample, by autograd. kind: "dense", "hash" or "triton"."""
    levels, networks = numbers.hash_levels, 8.0 * numbers.hidden
    encoding = {
        "dense": DENSE_BYTES,
        "hash": HASH_BYTES + HASH_LEVEL_BYTES * levels,
        "triton": TRITON_BYTES + TRITON_LEVEL_BYTES * levels,
    }[kind]
    kept = encoding + networks
    normals = _normals(numbers, kind)
    if normals == "finite":
        return kept + FINITE_POINTS * (encoding + networks / 2)
    if normals == "analytic" and kind == "triton":
        return kept + ANALYTIC_TRITON_BYTES + TRITON_LEVEL_BYTES * levels + networks / 2
    return ANALYTIC_FACTOR * encoding + 1.5 * networks if normals == "analytic" else kept


def _kind(numbers: Numbers, device_type: str, kernels: Kernels) -> str:
    kind = numbers.encoding_on(device_type)
    return "triton" if kind == "hash" and kernels != "none" else kind


def _normals(numbers: Numbers, kind: str) -> str:
    if not numbers.needs_normals:
        return "none"
    if numbers.normals == "auto":
        return "finite" if kind == "dense" else "analytic"
    return numbers.normals
