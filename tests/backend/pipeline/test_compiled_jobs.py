# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs whose networks are left to torch.compile."""

from pathlib import Path
from typing import Any

import pytest
import torch

from backend.errors import Cancelled, UserError
from backend.pipeline import _compiles, generate
from backend.progress import Progress
from backend.settings import GenerateSettings
from tests.backend.pipeline.jobs import Run

pytestmark = pytest.mark.usefixtures("fresh_compiler")


def test_without_a_compiler_nothing_long_begins(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch._inductor.config as inductor

    monkeypatch.setenv("CXX", str(tmp_path / "none"))  # what Windows asks for
    monkeypatch.setattr(inductor.cpp, "cxx", (None, str(tmp_path / "none")))
    told: list[Any] = []
    asked = {"prompt": "a red mug", "model": str(model), "device": "cpu", "compile": True, "steps": 10}
    with pytest.raises(UserError, match=r"does not work here \(.*ompiler.*compile must be left out"):
        generate(GenerateSettings.from_values({**asked, "start": "blob"}), tmp_path / "job", told.append)
    assert {progress.stage for progress in told} == {"load"}
    assert told[-1].message.startswith("Compiling")


@pytest.mark.parametrize("changes", [{}, {"refine_from": 0.5, "refine_views_per_step": 8}])
def test_all_is_compiled_before_the_first_step(
    run: Run, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compiled is only counted here: a graph for each network and each way to call it."""
    compiled: list[str] = []
    stage = ""

    def counting(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        compiled.append(stage)
        return graph.forward

    def told(progress: Progress) -> None:
        nonlocal stage
        stage = progress.stage

    plain = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: plain(self, backend=counting, **how))
    run(tmp_path, compile=True, start="views", steps=10, report=told, **changes)
    assert compiled == ["load"] * (4 if changes else 2)


@pytest.mark.parametrize(("kernels", "compiles"), [("", True), ("off", False)])
def test_without_kernels_on_a_gpu_nothing_makes_others(
    kernels: str, compiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MVDREAM_KERNELS", kernels)
    asked = GenerateSettings.from_values({"prompt": "a red mug", "compile": True})
    assert _compiles(asked, torch.device("cuda")) == compiles
    assert _compiles(asked, torch.device("cpu"))
    assert not _compiles(GenerateSettings(prompt="a red mug"), torch.device("cpu"))


def test_a_job_that_is_cancelled_while_it_compiles_ends_before_the_next_network_call(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: None)
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        run(tmp_path, compile=True, report=told.append, cancelled=lambda: True)
    assert told[-1].message.startswith("Compiling")
