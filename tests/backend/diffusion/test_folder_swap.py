# SPDX-License-Identifier: GPL-3.0-or-later
"""A model is replaced as a whole, and an earlier one is never lost on the way, whatever breaks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.diffusion.folder_swap import clear, leftovers, remove_folder, replace_folder
from backend.errors import UserError


def make(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "mvdream.json").write_text(content)
    return folder


def write(out: Path, content: str = "new") -> None:
    with replace_folder(out, 1) as folder:
        (folder / "mvdream.json").write_text(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail_renames_to(out: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that fails, or with a virus scanner that holds the folder."""
    original, left = os.rename, [times]

    def rename(source: Path, target: Path) -> None:
        if Path(target) == out and left[0]:
            left[0] -= 1
            raise PermissionError(13, "Permission denied", str(source))
        original(source, target)

    monkeypatch.setattr(os, "rename", rename)


def test_a_model_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    out = make(tmp_path / "mine", "old")
    write(out)
    assert (out / "mvdream.json").read_text() == "new"
    assert names(tmp_path) == ["mine"]


def test_a_failing_swap_leaves_the_earlier_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = make(tmp_path / "mine", "old")
    fail_renames_to(out, 1, monkeypatch)
    with pytest.raises(UserError, match="can't be written to"):
        write(out)
    assert (out / "mvdream.json").read_text() == "old"
    assert names(tmp_path) == ["mine"]


def test_where_it_cannot_be_put_back_either_its_place_is_named_and_the_next_run_puts_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = make(tmp_path / "mine", "old")
    with monkeypatch.context() as patch:
        fail_renames_to(out, 2, patch)
        with pytest.raises(UserError, match="is whole, in ") as caught:
            write(out)
    (parked,) = leftovers(tmp_path)["mine"]
    assert str(parked) in str(caught.value)
    assert (parked / "mvdream.json").read_text() == "old"
    with replace_folder(out, 1) as folder:
        assert (out / "mvdream.json").read_text() == "old"
        (folder / "mvdream.json").write_text("new")
    assert names(tmp_path) == ["mine"]


def test_killed_between_the_renames_the_earlier_model_comes_back(tmp_path: Path) -> None:
    make(tmp_path / ".mine.replaced-0123abcd", "old")
    make(tmp_path / ".mine.converting-0123abcd", "half of it")
    clear(tmp_path / "mine")
    assert names(tmp_path) == ["mine"]
    assert (tmp_path / "mine" / "mvdream.json").read_text() == "old"


def test_killed_after_the_renames_the_new_model_stays(tmp_path: Path) -> None:
    make(tmp_path / ".mine.replaced-0123abcd", "old")
    make(tmp_path / "mine", "new")
    clear(tmp_path / "mine")
    assert names(tmp_path) == ["mine"]
    assert (tmp_path / "mine" / "mvdream.json").read_text() == "new"


def test_only_what_lies_beside_this_model_is_cleared(tmp_path: Path) -> None:
    others = [".mine.converting-now", ".mine.2.removed-0123abcd", ".other.converting-0123abcd", "mine.2"]
    for name in (*others, ".mine.removed-0123abcd", ".mine.converting-00000000"):
        make(tmp_path / name, "")
    clear(tmp_path / "mine")
    assert names(tmp_path) == sorted(others)
    assert list(leftovers(tmp_path)) == ["mine.2", "other"]
    remove_folder(tmp_path / "mine.2")
    clear(tmp_path / "mine.2")
    assert names(tmp_path) == [".mine.converting-now", ".other.converting-0123abcd"]
