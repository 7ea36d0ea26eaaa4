# SPDX-License-Identifier: GPL-3.0-or-later
"""Before a job starts: whether it fits into memory, and with which numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from backend.diffusion.config import ModelConfig
from backend.errors import UserError
from backend.memory.estimation import Need, estimate
from backend.memory.facts import ModelFacts, read_facts
from backend.memory.fitting import Fit, Room, fit, nothing_fits, smallest
from backend.memory.free import available_ram, free_memory
from backend.memory.rendering import Kernels
from backend.memory.sampling import estimate_sampling

if TYPE_CHECKING:
    import torch

    from backend.settings import Numbers


def plan(
    folder: Path, image_size: int, numbers: Numbers, device: torch.device, dtype: torch.dtype
) -> Fit[Numbers]:
    """The numbers to run a job with, and sentences on what was changed so that it fits into memory.

    folder, image_size: of the model; dtype: the networks' precision. To be called before the model is loaded.

    Raises UserError when the job does not fit even with the smallest numbers; it says what would.
    """
    from backend.devices import title

    kernels, graphs = kernels_on(device), has_graphs(device)

    def need_of(facts: ModelFacts) -> Callable[[Numbers], Need]:
        return lambda candidate: estimate(facts, candidate, dtype.itemsize, device.type, kernels, graphs)

    others = {name: smallest(numbers, need_of(other)) for name, (other, _) in _other_models(folder).items()}
    return fit(
        numbers,
        need_of(read_facts(folder, image_size)),
        free_memory(device),
        available_ram(),
        title(device),
        others,
    )


def plan_sampling(
    folder: Path, config: ModelConfig, device: torch.device, dtype: torch.dtype, at_once: int
) -> int:
    """How many images to decode together, so that sampling views fits into memory: `at_once`, or fewer.

    folder, config: of the model; dtype: the networks' precision. To be called before the model is loaded.

    Raises UserError when views do not fit even when decoded one by one; it says what would help.
    """
    from backend.devices import title

    def need(facts: ModelFacts, views: int, decoded: int) -> Need:
        return estimate_sampling(facts, views, decoded, dtype.itemsize, device.type)

    room = Room.of(free_memory(device), available_ram())
    facts = read_facts(folder, config.image_size)
    for decoded in range(min(at_once, config.views), 0, -1):
        if not room.lack(need(facts, config.views, decoded)):
            return decoded
    others = {name: need(other, views, 1) for name, (other, views) in _other_models(folder).items()}
    least = need(facts, config.views, 1)
    raise UserError(nothing_fits("Sampling views needs", least, room, title(device), others))


def kernels_on(device: torch.device) -> Kernels:
    """Which Triton kernels will run there: they are tried, once a process."""
    from backend.radiance.hash_grid import triton_works

    if device.type != "cuda" or not triton_works():
        return "none"
    from backend.radiance.fused.trial import fused_works

    return "field" if fused_works() else "grid"


def has_graphs(device: torch.device) -> bool:
    """Whether `MultiViewDiffusion.accelerate` makes CUDA graphs there."""
    import torch

    return device.type == "cuda" and bool(torch.version.cuda)


def _other_models(folder: Path) -> dict[str, tuple[ModelFacts, int]]:
    """Facts and views of the models that are not in `folder`, by name."""
    from backend.diffusion import registry

    found: dict[str, tuple[ModelFacts, int]] = {}
    for entry in registry.models():
        if entry.folder != folder and entry.reads_prompts:
            # A broken model is no way out, and none of this job's business.
            with contextlib.suppress(UserError):
                facts = read_facts(entry.folder, entry.config.image_size)
                found[entry.name] = (facts, entry.config.views)
    return found
