# SPDX-License-Identifier: GPL-3.0-or-later
"""Our AdamW against PyTorch's, to the last bit."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.adam import AdamW


def parameters() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = ((7, 5), (3,), (2, 3, 4))
    return [torch.randn(*shape, generator=generator).requires_grad_() for shape in shapes]


def groups(made: list[Tensor]) -> list[dict[str, Any]]:
    return [{"params": made[:1], "lr": 0.1, "base_rate": 0.1}, {"params": iter(made[1:]), "lr": 0.02}]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_moves_as_pytorchs_does(decay: float) -> None:
    ours, theirs = parameters(), parameters()
    settings: dict[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-5, "weight_decay": decay}
    pair = AdamW(groups(ours), **settings), torch.optim.AdamW(groups(theirs), fused=True, **settings)
    generator = torch.Generator().manual_seed(2)
    for step in range(5):
        for optimizer in pair:
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            if (step, number) != (2, 1):  # once one is left out
                mine.grad = torch.randn(mine.shape, generator=generator)
                other.grad = mine.grad.clone()
        for optimizer in pair:
            optimizer.step()
        assert all(torch.equal(*both) for both in zip(ours, theirs, strict=True))
    for mine, other in zip(ours, theirs, strict=True):
        expected, found = pair[1].state[other], pair[0].state[mine]
        assert expected.keys() == found.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_without_a_gradient_nothing_moves() -> None:
    made = parameters()
    optimizer = AdamW(groups(made), (0.9, 0.99), weight_decay=0.5)
    made[0].grad = torch.ones_like(made[0])
    optimizer.zero_grad()
    optimizer.step()
    assert all(torch.equal(*both) for both in zip(made, parameters(), strict=True))
    assert not optimizer.state


def test_it_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch; from backend.adam import AdamW; p = torch.zeros(2, requires_grad=True)\n"
        "p.grad = torch.ones(2); AdamW([{'params': [p], 'lr': 0.1}], (0.9, 0.99)).step()\n"
        "assert (p < 0).all(); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
