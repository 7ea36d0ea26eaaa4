# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs whose networks are left to torch.compile."""

from pathlib import Path
from typing import Any

import pytest
import torch

from backend.errors import UserError
from backend.pipeline import generate
from backend.settings import GenerateSettings


def test_without_a_compiler_nothing_long_begins(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch._inductor.config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setattr(inductor.cpp, "cxx", (None, str(tmp_path / "none")))
    torch.compiler.reset()
    told: list[Any] = []
    asked = {"prompt": "a red mug", "model": str(model), "device": "cpu", "compile": True, "steps": 10}
    with pytest.raises(UserError, match="Leave the option compile out"):
        generate(GenerateSettings.from_values({**asked, "start": "blob"}), tmp_path / "job", told.append)
    assert {progress.stage for progress in told} == {"load"}
    assert told[-1].message == "Compiling the networks: a minute or more"
