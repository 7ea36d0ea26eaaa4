# SPDX-License-Identifier: GPL-3.0-or-later
"""A download from the test's hub, and what is left of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backend.hub.download import download
from backend.hub.local import Downloaded
from tests.backend.hub.hub_server import FILE, QUICK


class Reports(list):
    def __call__(self, message: str, done: int, total: int) -> None:
        self.append((message, done, total))


def fetch(folder: Path, report: Callable | None = None, **options) -> Downloaded:
    options = {"cancelled": lambda: False, "patience": QUICK, **options}
    return download(FILE, folder, report if report is not None else Reports(), **options)


def partial_of(folder: Path) -> Path:
    (path,) = folder.glob("*.partial")
    return path


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the library does when it is imported with the variable set."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
