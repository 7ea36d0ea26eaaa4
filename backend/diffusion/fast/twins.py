# SPDX-License-Identifier: GPL-3.0-or-later
"""What a UNet does before it looks at the prompt, done once for both halves of classifier-free guidance.

The halves differ in their prompts alone, so the first resnet and the first self-attention would be computed
twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_NAME = "prompt_twins"


class Twins:
    """Whether at present the second half of a batch is the first again."""

    def __init__(self) -> None:
        self.alike = False

    def one(self, x: Tensor) -> Tensor:
        """One of the halves, or all where they differ."""
        return x[: len(x) // 2] if self.alike else x

    def both(self, x: Tensor) -> Tensor:
        """What `one` became, for both halves."""
        return torch.cat((x, x)) if self.alike else x


@contextmanager
def halves_alike(network: nn.Module, alike: bool) -> Iterator[None]:
    """Within it a fused UNet may take the second half of latents, steps and cameras to be the first again."""
    twins: Twins | None = getattr(network, _NAME, None)
    if twins is None or not alike:
        yield
        return
    twins.alike = True
    try:
        yield
    finally:
        twins.alike = False


def find_twins(network: Any) -> Twins | None:
    """That of a UNet, made at the first call; None for networks whose first block sees no prompt."""
    blocks = getattr(network, "down_blocks", None)
    if not blocks or not getattr(blocks[0], "attentions", None):
        return None
    if getattr(network, _NAME, None) is None:
        setattr(network, _NAME, Twins())
    found: Twins = getattr(network, _NAME)
    return found
