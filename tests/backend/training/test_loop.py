# SPDX-License-Identifier: GPL-3.0-or-later
import copy
import json
import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backend.errors import UserError
from backend.training.loop import Loop, LoopOptions
from backend.training.stepper import Stepper
from backend.training.task import Task


class LineTask(Task):
    """Fits y = 3 x by a line, on random x; every third step is of another kind."""

    variants = ("near", "far")

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.line = nn.Linear(1, 1)
        self.trained = {"line": self.line}
        self.averaged = {"line": copy.deepcopy(self.line)}
        self.device = torch.device("cpu")
        self.prepared: list[int] = []
        self.kinds: list[str] = []
        self.compiled: list[bool] = []
        self.fails_compiled = False

    def variant(self, step: int) -> str:
        return "far" if step % 3 == 2 else "near"

    def prepare(self, step: int) -> None:
        self.prepared.append(step)

    def loss(self, variant: str) -> Tensor:
        if self.compiled[-1] and self.fails_compiled:
            raise RuntimeError("no compiler here")
        self.kinds.append(variant)
        x = torch.rand(16, 1) * (10 if variant == "far" else 1)
        return (self.line(x) - 3 * x).square().mean()

    def validate(self) -> dict[str, float]:
        return {"error": abs(self.averaged["line"].weight.item() - 3)}

    def compile(self, enabled: bool) -> None:
        self.compiled.append(enabled)


def _loop(folder: Path, steps: int | None = 60, arguments: dict | None = None, **options: object) -> Loop:
    chosen = {"log_every": 10, "validate_every": 20, "checkpoint_every": 30, "learning_rate": 0.1, **options}
    return Loop(LineTask(), LoopOptions(steps=steps, **chosen), folder, arguments or {"batch": 16})


def test_it_learns_and_writes_its_journal(tmp_path: Path) -> None:
    loop = _loop(tmp_path, steps=300, decay=0.9)
    outcome = loop.run()
    assert outcome.steps == outcome.total == 300
    assert outcome.figures["error"] < 0.05
    assert not outcome.paused
    assert loop.task.prepared == list(range(300))
    assert loop.task.kinds[:6] == ["near", "near", "far"] * 2
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 30
    assert losses[-1] < 0.01 * losses[0]
    assert [line["step"] for line in lines if "validation" in line][:3] == [20, 40, 60]


def test_resume_ends_exactly_where_the_uninterrupted_run_ends(tmp_path: Path) -> None:
    whole = _loop(tmp_path / "whole")
    whole.run()
    first = _loop(tmp_path / "parts")
    first.task.validate = _interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert first.done == 20
    torch.rand(7)  # a new process has another random state
    second = _loop(tmp_path / "parts", resume=True)
    second.run()
    assert second.task.prepared == list(range(20, 60))
    for part in ("trained", "averaged"):
        a, b = getattr(whole.task, part)["line"], getattr(second.task, part)["line"]
        assert torch.equal(a.weight, b.weight)
        assert torch.equal(a.bias, b.bias)


def _interrupt() -> dict[str, float]:
    raise KeyboardInterrupt


def test_a_pause_leaves_a_checkpoint(tmp_path: Path) -> None:
    outcome = _loop(tmp_path, pause_after=0.0).run()
    assert outcome.paused
    assert outcome.steps == 0
    assert _loop(tmp_path, resume=True).run().steps == 60


def test_a_time_budget_finds_the_number_of_steps_and_resume_keeps_it(tmp_path: Path) -> None:
    outcome = _loop(tmp_path, steps=None, minutes=0.01).run()
    assert outcome.steps > 20
    assert outcome.total is not None
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert _loop(tmp_path, steps=None, minutes=0.01, resume=True).pace.total == saved["total"]


def test_resume_refuses_other_settings_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint\.pt"):
        _loop(tmp_path, resume=True)
    _loop(tmp_path, steps=1).run()
    with pytest.raises(UserError, match="other settings \\(batch\\)"):
        _loop(tmp_path, arguments={"batch": 8}, resume=True)
    (tmp_path / "checkpoint.pt").write_bytes(b"damaged")
    with pytest.raises(UserError, match="is damaged"):
        _loop(tmp_path, resume=True)


def test_divergence_is_told(tmp_path: Path) -> None:
    loop = _loop(tmp_path)
    with torch.no_grad():
        loop.task.trained["line"].weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"diverged.* at step 10"):
        loop.run()


def test_without_a_compiler_training_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = LineTask()
    task.fails_compiled = True
    with caplog.at_level(logging.WARNING):
        loop = Loop(task, LoopOptions(steps=5, speed="compile", log_every=5), tmp_path, {})
        assert loop.run().steps == 5
    assert task.compiled == [True, False]
    assert len(task.kinds) == 5
    assert "torch.compile failed" in caplog.text


def test_other_failures_are_not_swallowed(tmp_path: Path) -> None:
    task = LineTask()
    task.compiled = [True]
    task.fails_compiled = True
    loop = Loop(task, LoopOptions(steps=5, speed="eager"), tmp_path, {})
    task.compiled.append(True)
    with pytest.raises(RuntimeError, match="no compiler"):
        loop.run()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_captured_step_trains_like_an_eager_one(tmp_path: Path) -> None:
    errors = {}
    for speed in ("eager", "graph"):
        task = LineTask()
        task.device = torch.device("cuda")
        task.line.cuda()
        task.averaged["line"].cuda()
        task.loss = lambda variant, line=task.line: _cuda_loss(line)  # type: ignore[method-assign]
        torch.manual_seed(0)
        loop = Loop(
            task, LoopOptions(steps=300, learning_rate=0.1, speed=speed, decay=0.9), tmp_path / speed, {}
        )
        errors[speed] = loop.run().figures["error"]
        assert isinstance(loop.stepper, Stepper)
        assert loop.stepper.ready
    assert errors["graph"] == pytest.approx(errors["eager"], abs=1e-3)
    assert errors["graph"] < 0.05


def _cuda_loss(line: nn.Module) -> Tensor:
    x = torch.rand(16, 1, device="cuda")
    return (line(x) - 3 * x).square().mean()
