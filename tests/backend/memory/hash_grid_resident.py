# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints how many bytes a forward and a backward pass of a field take: arguments LEVELS SAMPLES. Linux."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

import torch

from backend.radiance.field import RadianceField
from backend.radiance.hash_grid import HashGrid


def most() -> int:
    """Bytes that were resident at most since the last reset."""
    words = Path("/proc/self/status").read_text(encoding="ascii").split()
    return int(words[words.index("VmHWM:") + 1]) * 1024


def work(field: RadianceField, count: int) -> None:
    density, colour = field(torch.rand(count, 3) - 0.5)
    (density.sum() + colour.sum()).backward()


levels, count = int(sys.argv[1]), int(sys.argv[2])
field = RadianceField(HashGrid(levels, log2_size=12), hidden=64, bias=False)
work(field, 1000)  # libraries take their own once
Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
before = most()
work(field, count)
sys.stdout.write(str(most() - before))
