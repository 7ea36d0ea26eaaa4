# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that are refused before a worker starts."""

import sys
from pathlib import Path

import pytest
import torch

from backend.errors import UserError
from backend.service import device_check
from backend.service.device_check import may_have_cuda, read_builds, refuse_missing_device

NEITHER = "from typing import Optional\ncuda: Optional[str] = None\nhip: Optional[str] = None\n"


def test_it_reads_what_this_torch_says_of_itself() -> None:
    assert may_have_cuda() == bool(torch.version.cuda or torch.version.hip)


@pytest.mark.parametrize(
    ("text", "builds"),
    [
        (NEITHER, {"cuda": None, "hip": None}),
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", {"cuda": "12.8", "hip": None}),
        ("cuda = None\nhip = '6.4'\n", {"cuda": None, "hip": "6.4"}),
        ("cuda = find()\n", {}),
        ("cuda = (", {}),
        (None, {}),
    ],
)
def test_builds(text: str | None, builds: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "version.py"
    if text is not None:
        file.write_text(text)
    assert read_builds(file) == builds
    monkeypatch.setattr(device_check, "_builds", lambda: builds)
    for name in ("cuda", "cuda:1"):
        if text == NEITHER:
            with pytest.raises(UserError, match=f"'{name}' is not there.*'cpu'"):
                refuse_missing_device(name)
        else:  # what nobody knows is the worker's to find out
            refuse_missing_device(name)
    refuse_missing_device("auto")
    refuse_missing_device("cpu")


@pytest.mark.skipif(sys.platform == "darwin", reason="it may be there")
def test_apples_gpu_is_in_macs_alone() -> None:
    with pytest.raises(UserError, match="no Mac"):
        refuse_missing_device("mps")
