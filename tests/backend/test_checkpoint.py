# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint gives back exactly what was saved, or nothing."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backend import checkpoint
from backend.checkpoint import find_checkpoint, read_checkpoint, write_checkpoint

Parts = tuple[dict[str, nn.Module], torch.optim.Optimizer]


def parts(seed: int) -> Parts:
    """A linear layer, a module with a buffer, and Adam."""
    torch.manual_seed(seed)
    modules = {"field": nn.Linear(3, 2), "norm": nn.BatchNorm1d(2)}
    optimizer = torch.optim.Adam(
        [{"params": list(module.parameters()), "lr": 0.1} for module in modules.values()], fused=True
    )
    return modules, optimizer


def train(made: Parts, steps: range) -> None:
    modules, optimizer = made
    for step in steps:
        inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad(set_to_none=True)
        modules["norm"](modules["field"](inputs)).pow(3).sum().backward()
        optimizer.step()


def values(made: Parts) -> list[Tensor]:
    return [value for module in made[0].values() for value in module.state_dict().values()]


def same(one: Parts, other: Parts) -> bool:
    return all(torch.equal(a, b) for a, b in zip(values(one), values(other), strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.safetensors"


def test_going_on_is_as_if_never_stopped(path: Path) -> None:
    whole, first, second = parts(1), parts(1), parts(2)
    train(whole, range(6))
    train(first, range(3))
    write_checkpoint(path, *first, 3, "me")
    assert not same(first, second)
    assert read_checkpoint(path, *second, "me") == 3
    assert same(first, second)
    train(second, range(3, 6))
    assert same(whole, second)
    assert not same(first, second)


def test_before_the_first_step_there_is_no_state_of_the_optimizer(path: Path) -> None:
    first, second = parts(1), parts(2)
    write_checkpoint(path, *first, 0, "me")
    assert read_checkpoint(path, *second, "me") == 0
    train(first, range(2))
    train(second, range(2))
    assert same(first, second)


def test_another_identity_is_refused_and_nothing_changes(path: Path) -> None:
    write_checkpoint(path, *parts(1), 3, "me")
    other = parts(2)
    assert read_checkpoint(path, *other, "you") is None
    assert same(other, parts(2))


def test_anothers_checkpoint_is_set_aside_and_comes_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_checkpoint(path, *parts(1), 3, "one")
    work = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        find_checkpoint(path, "two")
    (aside,) = path.parent.iterdir()
    assert (path.exists(), aside.read_bytes()) == (False, work)
    assert "step 3" in caplog.text
    assert str(aside) in caplog.text
    write_checkpoint(path, *parts(1), 1, "two")
    find_checkpoint(path, "one")
    assert path.read_bytes() == work
    find_checkpoint(path, "two")
    assert read_checkpoint(path, *parts(2), "two") == 1
    caplog.clear()
    find_checkpoint(path, "two")
    assert read_checkpoint(path, *parts(2), "two") == 1
    assert caplog.text == ""


def test_a_checkpoint_set_aside_stays_in_its_folder(path: Path) -> None:
    write_checkpoint(path, *parts(1), 3, "../../out/side")
    find_checkpoint(path, "me")
    assert [file.name for file in path.parent.iterdir()] == [f"{path.stem}-outside{path.suffix}"]


def test_a_broken_checkpoint_is_nobodys(path: Path) -> None:
    path.write_bytes(b"broken")
    find_checkpoint(path, "me")
    assert path.read_bytes() == b"broken"


def test_without_a_file_there_is_none(path: Path) -> None:
    assert read_checkpoint(path, *parts(1), "me") is None


@pytest.mark.parametrize("keep", [0, 5, 200, -10])
def test_a_broken_file_is_none_with_a_warning(
    path: Path, keep: int, caplog: pytest.LogCaptureFixture
) -> None:
    write_checkpoint(path, *parts(1), 3, "me")
    path.write_bytes(path.read_bytes()[:keep])
    other = parts(2)
    with caplog.at_level(logging.WARNING):
        assert read_checkpoint(path, *other, "me") is None
    assert str(path) in caplog.text
    assert same(other, parts(2))


def test_a_write_that_fails_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(path, *parts(1), 3, "me")
    before = path.read_bytes()

    def full(tensors: dict[str, Tensor], name: str, metadata: dict[str, str]) -> None:
        Path(name).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        write_checkpoint(path, *parts(2), 4, "me")
    assert path.read_bytes() == before


def test_nothing_is_left_beside_it(path: Path) -> None:
    write_checkpoint(path, *parts(1), 3, "me")
    write_checkpoint(path, *parts(1), 4, "me")
    assert list(path.parent.iterdir()) == [path]
