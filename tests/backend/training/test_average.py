# SPDX-License-Identifier: GPL-3.0-or-later
import copy

import pytest
import torch
from torch import nn

from backend.training.average import MovingAverage


def test_average_follows_with_a_growing_decay() -> None:
    trained = nn.Linear(1, 1)
    averaged = copy.deepcopy(trained)
    average = MovingAverage({"a": trained}, {"a": averaged}, decay=0.9)
    with torch.no_grad():
        averaged.weight.fill_(1.0)
        trained.weight.fill_(2.0)
    average.set_step(0)  # (1 + 0) / (10 + 0) = 0.1
    average.update()
    assert averaged.weight.item() == pytest.approx(0.1 * 1 + 0.9 * 2)
    average.set_step(1000)  # 1001 / 1010 is over the limit of 0.9
    average.update()
    assert averaged.weight.item() == pytest.approx(0.9 * 1.9 + 0.1 * 2)
    assert trained.weight.item() == 2.0
    assert not averaged.weight.requires_grad
