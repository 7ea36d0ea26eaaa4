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
from backend.kernel_switch import VARIABLE
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


def test_sampled_views_that_do_not_fit_make_it_start_from_a_ball(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.memory.facts.decoder_elements", lambda widths: 1e6)
    monkeypatch.setattr(planning, "available_ram", lambda: 2 * GB)
    asked = replace(SMALL, start="views")
    found = run(asked)
    assert found.numbers == replace(asked, start="blob")
    (sentence,) = found.sentences
    assert sentence.startswith(planning._NO_VIEWS)
    assert "240 steps are enough" in sentence
    assert run(replace(asked, steps=240)).sentences == (planning._NO_VIEWS,)


@pytest.mark.parametrize(
    ("grid", "field", "kernels"), [(False, True, "none"), (True, False, "grid"), (True, True, "field")]
)
def test_the_kernels_that_will_run(
    grid: bool, field: bool, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def fused_works(levels: int, hidden: int) -> bool:
        asked.append((levels, hidden))
        return field

    monkeypatch.setattr(planning.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr("backend.radiance.hash_grid.triton_works", lambda: grid)
    # Not imported: it needs Triton itself.
    monkeypatch.setitem(sys.modules, "backend.radiance.fused.trial", SimpleNamespace(fused_works=fused_works))
    paper = replace(PRESETS["paper"].numbers, hash_levels=12, hidden=32)
    cuda = torch.device("cuda")
    assert planning.kernels_on(cuda, paper) == kernels
    assert asked == [(12, 32)]  # side by side with the grid's, whatever becomes of that
    assert planning.kernels_on(torch.device("cpu"), paper) == "none"
    # What the field's kernels can't do they are not tried for.
    biased = replace(paper, network_bias="yes")
    assert planning.kernels_on(cuda, biased) == ("grid" if grid else "none")
    assert len(asked) == 1


def test_without_triton_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: the field's kernels can't even be imported there."""
    monkeypatch.setattr(planning.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "backend.radiance.fused.trial", None)
    assert planning.kernels_on(torch.device("cuda"), PRESETS["paper"].numbers) == "none"


def test_networks_are_fused_where_their_own_kernels_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.diffusion.fast import trial

    monkeypatch.setattr(trial, "triton_works", lambda device, dtype: dtype == torch.bfloat16)
    assert planning.fuses(torch.device("cuda"), torch.bfloat16)
    assert not planning.fuses(torch.device("cuda"), torch.float32)
    assert not planning.fuses(torch.device("cpu"), torch.bfloat16)


def test_graphs_are_cudas_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert planning.has_graphs(torch.device("cuda"))
    assert not planning.has_graphs(torch.device("cpu"))
    monkeypatch.setattr(torch.version, "cuda", None)  # as on ROCm
    assert not planning.has_graphs(torch.device("cuda"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv(VARIABLE, "off")
    assert not planning.has_graphs(torch.device("cuda"))
