# SPDX-License-Identifier: GPL-3.0-or-later
"""Before a job starts: whether it fits into memory, and with which numbers."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend.diffusion.config import ModelConfig
from backend.errors import UserError
from backend.kernel_switch import kernels_allowed
from backend.kernel_trial import side_by_side
from backend.memory.estimation import Need, Surroundings, estimate, estimate_start
from backend.memory.facts import ModelFacts, read_facts
from backend.memory.fitting import Fit, Room, fit, nothing_fits, smallest
from backend.memory.free import available_ram, free_memory
from backend.memory.rendering import Kernels, is_fused
from backend.memory.sampling import estimate_sampling
from backend.start import coarse

if TYPE_CHECKING:
    import torch

    from backend.settings import Numbers


_NO_VIEWS = "The object starts from a ball: for sampled views memory does not suffice."


def plan(
    folder: Path,
    image_size: int,
    numbers: Numbers,
    device: torch.device,
    dtype: torch.dtype,
    compiled: bool = False,
) -> Fit[Numbers]:
    """The numbers to run a job with, and sentences on what was changed so that it fits into memory.

    folder, image_size: of the model; dtype: the networks' precision; compiled: whether torch.compile makes
    them, and they count as stock ones. To be called before the model is loaded.

    Raises UserError when the job does not fit even with the smallest numbers; it says what would.
    """
    from backend.devices import title

    kernels: Kernels = "none"
    fused = False
    if device.type == "cuda":  # tried, which takes long on a fresh machine
        trials = (lambda: kernels_on(device, numbers), lambda: not compiled and fuses(device, dtype))
        kernels, fused = side_by_side(trials)
    here = Surroundings(device.type, dtype.itemsize, kernels, has_graphs(device), fused)

    def need_of(facts: ModelFacts) -> Callable[[Numbers], Need]:
        return lambda candidate: estimate(facts, candidate, here)

    others = {name: smallest(numbers, need_of(other)) for name, (other, _) in _other_models(folder).items()}
    facts, free, free_host = read_facts(folder, image_size), free_memory(device), available_ram()
    said: tuple[str, ...] = ()
    if numbers.start == "views" and Room.of(free, free_host).lack(estimate_start(facts, numbers, here)):
        numbers, said = replace(numbers, start="blob"), (_NO_VIEWS + coarse(numbers.steps),)
    found = fit(numbers, need_of(facts), free, free_host, title(device), others)
    return replace(found, sentences=(*said, *found.sentences))


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


def kernels_on(device: torch.device, numbers: Numbers) -> Kernels:
    """Which Triton kernels will run there for a field of these numbers: they are tried, once a process."""
    if device.type != "cuda" or not kernels_allowed() or importlib.util.find_spec("triton") is None:
        return "none"
    from backend.radiance.hash_grid import triton_works

    grid, field = side_by_side((triton_works, lambda: _field_works(device, numbers)))
    if not grid:
        return "none"
    return "field" if field else "grid"


def _field_works(device: torch.device, numbers: Numbers) -> bool:
    """Whether the kernels for a whole field suit the numbers, and work. There must be Triton."""
    if not is_fused(numbers, device.type, "field"):
        return False
    from backend.radiance.fused.trial import fused_works

    return fused_works(numbers.hash_levels, numbers.hidden)


def fuses(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `MultiViewDiffusion.accelerate` fuses the networks there: they have kernels of their own."""
    from backend.diffusion.fast.trial import triton_works

    return device.type == "cuda" and triton_works(device, dtype)


def has_graphs(device: torch.device) -> bool:
    """Whether `MultiViewDiffusion.accelerate` makes CUDA graphs there."""
    import torch

    return device.type == "cuda" and bool(torch.version.cuda) and kernels_allowed()


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
