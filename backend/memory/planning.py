# SPDX-License-Identifier: GPL-3.0-or-later
"""Before a job starts: whether it fits into memory, and with which numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import UserError
from backend.memory.estimation import Need, estimate
from backend.memory.facts import ModelFacts, read_facts
from backend.memory.fitting import Fit, fit, smallest
from backend.memory.free import available_ram, free_memory

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
    from backend.diffusion import registry
    from backend.radiance.hash_grid import triton_works

    triton = device.type == "cuda" and triton_works()

    def need_of(facts: ModelFacts) -> Callable[[Numbers], Need]:
        return lambda candidate: estimate(facts, candidate, dtype.itemsize, device.type, triton)

    others: dict[str, Need] = {}
    for entry in registry.models():
        if entry.folder != folder:
            # A broken model is no way out, and none of this job's business.
            with contextlib.suppress(UserError):
                other = read_facts(entry.folder, entry.config.image_size)
                others[entry.name] = smallest(numbers, need_of(other))
    return fit(
        numbers,
        need_of(read_facts(folder, image_size)),
        free_memory(device),
        available_ram(),
        title(device),
        others,
    )
