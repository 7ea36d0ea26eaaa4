# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device and precision are picked, on machines of all kinds."""

from collections.abc import Callable

import pytest
import torch

from backend.devices import pick_device, pick_dtype
from backend.errors import UserError

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """machine(gpus=2, mps=False, bf16=True) pretends to be one."""

    def pretend(gpus: int = 0, mps: bool = False, bf16: bool = True) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("gpus", "mps", "best"), [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda"), (1, True, "cuda")]
)
def test_auto_is_the_best_there_is(machine: Machine, gpus: int, mps: bool, best: str) -> None:
    machine(gpus, mps)
    assert pick_device("auto") == torch.device(best)


def test_a_device_that_is_there_is_taken(machine: Machine) -> None:
    machine(gpus=2, mps=True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert pick_device(name) == torch.device(name)


@pytest.mark.parametrize(
    ("name", "gpus", "words"),
    [
        ("cuda", 0, "'cuda' is not there: PyTorch sees no CUDA GPU. Choose 'auto' or 'cpu'"),
        ("cuda:2", 2, r"'cuda:2' is not there: this machine has 2 CUDA GPU\(s\), counted from cuda:0"),
        ("mps", 1, "'mps' is not there"),
    ],
)
def test_a_device_that_is_not_there_is_named(machine: Machine, name: str, gpus: int, words: str) -> None:
    machine(gpus)
    with pytest.raises(UserError, match=words):
        pick_device(name)


@pytest.mark.parametrize(
    ("device", "size", "bf16", "dtype"),
    [
        ("cuda", 256, True, torch.bfloat16),
        ("cuda", 256, False, torch.float32),
        ("cuda", 64, True, torch.float32),
        ("cpu", 256, True, torch.float32),
        ("mps", 256, True, torch.float32),
    ],
)
def test_precision(machine: Machine, device: str, size: int, bf16: bool, dtype: torch.dtype) -> None:
    machine(gpus=1, bf16=bf16)
    assert pick_dtype(torch.device(device), size) == dtype
