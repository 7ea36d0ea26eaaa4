# SPDX-License-Identifier: GPL-3.0-or-later
"""What a waiting worker imports: stock networks where there is a GPU alone."""

import sys

import pytest
import torch

from backend.service import worker


@pytest.mark.parametrize("gpu", [False, True])
def test_stock_networks_are_imported_for_a_gpu(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("colorsys", "this"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    monkeypatch.setattr(worker, "USUAL_IMPORTS", ("a_module_that_is_not_there", "colorsys"))
    monkeypatch.setattr(worker, "STOCK_IMPORTS", ("this",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    worker._import_the_usual()
    assert "colorsys" in sys.modules  # what is missing ends nothing
    assert ("this" in sys.modules) == gpu


def test_all_that_is_imported_in_advance_is_there() -> None:
    for name in (*worker.USUAL_IMPORTS, *worker.STOCK_IMPORTS):
        __import__(name)
