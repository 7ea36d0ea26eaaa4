# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped model on this machine, and on machines that have less."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from backend.diffusion.registry import SHIPPED
from backend.errors import UserError
from backend.memory import planning
from backend.memory.planning import plan
from backend.settings import PRESETS

SMALL = PRESETS["standard"].small
GB = 10**9


def run(numbers: object = SMALL, folder: Path = SHIPPED / "small") -> object:
    return plan(folder, 64, numbers, torch.device("cpu"), torch.float32)


def test_the_shipped_model_fits_into_2_gigabytes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "available_ram", lambda: 2 * GB)
    found = run()
    assert found.numbers is SMALL
    assert found.sentences == ()


def test_a_texture_that_is_too_large_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "available_ram", lambda: 2 * GB)
    found = run(replace(SMALL, texture_size=4096))
    assert found.numbers == replace(SMALL, texture_size=2048)
    assert "texture_size is 2048 instead of 4096 (a coarser texture)." in found.sentences


def test_too_little_for_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "available_ram", lambda: GB // 4)
    with pytest.raises(
        UserError, match=r"^Even with the smallest numbers the job needs 0\.\d GB of memory in this"
    ):
        run()


def test_another_model_that_would_fit_is_named_and_a_broken_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("wide", "broken"):
        shutil.copytree(SHIPPED / "small", tmp_path / name)
    unet = tmp_path / "wide" / "unet" / "config.json"
    # As wide as if it were one of the largest.
    unet.write_text(json.dumps({**json.loads(unet.read_text()), "block_out_channels": [100_000, 96, 160]}))
    (tmp_path / "broken" / "vae" / "config.json").write_text("nonsense")
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path))
    monkeypatch.setattr(planning, "available_ram", lambda: 2 * GB)
    with pytest.raises(UserError, match="choose the model 'small', which fits") as caught:
        run(folder=tmp_path / "wide")
    assert "broken" not in str(caught.value)


@pytest.mark.parametrize(
    ("grid", "field", "kernels"), [(False, True, "none"), (True, False, "grid"), (True, True, "field")]
)
def test_the_kernels_that_will_run(
    grid: bool, field: bool, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.radiance.hash_grid.triton_works", lambda: grid)
    # Not imported: it needs Triton itself.
    trial = SimpleNamespace(fused_works=lambda: field)
    monkeypatch.setitem(sys.modules, "backend.radiance.fused.trial", trial)
    assert planning.kernels_on(torch.device("cuda")) == kernels
    assert planning.kernels_on(torch.device("cpu")) == "none"


def test_graphs_are_cudas_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert planning.has_graphs(torch.device("cuda"))
    assert not planning.has_graphs(torch.device("cpu"))
    monkeypatch.setattr(torch.version, "cuda", None)  # as on ROCm
    assert not planning.has_graphs(torch.device("cuda"))
