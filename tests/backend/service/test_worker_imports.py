# SPDX-License-Identifier: GPL-3.0-or-later
"""What a waiting worker imports: kernels where there is a GPU and Triton alone."""

import importlib.util
import sys

import pytest
import torch

from backend.service import worker


@pytest.mark.parametrize(("gpu", "triton"), [(False, True), (True, False), (True, True)])
def test_kernels_are_imported_for_a_gpu(gpu: bool, triton: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("colorsys", "this", "tabnanny"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    monkeypatch.setattr(worker, "USUAL_IMPORTS", ("a_module_that_is_not_there", "colorsys"))
    monkeypatch.setattr(worker, "KERNEL_IMPORTS", ("this",))
    monkeypatch.setattr(worker, "GRADIENT_IMPORTS", ("tabnanny",))
    monkeypatch.setattr(worker.importlib.util, "find_spec", lambda name: triton or None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    worker._import_the_usual()
    assert "colorsys" in sys.modules  # what is missing ends nothing
    assert ("this" in sys.modules) == (gpu and triton)
    assert ("tabnanny" in sys.modules) == gpu


def test_all_that_is_imported_in_advance_is_there() -> None:
    for name in worker.USUAL_IMPORTS:
        __import__(name)
    # Not imported: they need Triton.
    assert all(importlib.util.find_spec(name) for name in worker.KERNEL_IMPORTS)
