# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a job: what is wrong with it is said before the work starts."""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest

from backend import workplace
from backend.errors import UserError
from backend.workplace import NEEDED_BYTES, prepare_folder, write_text


def test_makes_the_folder_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert prepare_folder(folder) == folder
    assert list(folder.iterdir()) == []
    assert prepare_folder(folder) == folder  # it may be there already


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match=r"taken can't be written to \(File exists\). Choose another"):
        prepare_folder(tmp_path / "taken")


def test_an_unwritable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_options: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)  # permissions do not bind root
    with pytest.raises(UserError, match=r"can't be written to \(Permission denied\)") as caught:
        prepare_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_full_disk_is_told_in_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk(free: int) -> None:
        monkeypatch.setattr(workplace.shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free))

    disk(NEEDED_BYTES)
    prepare_folder(tmp_path)
    disk(12 * 2**20)
    with pytest.raises(UserError, match="has 12 MB left and a job needs 300 MB"):
        prepare_folder(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="has 12 MB left"):
        prepare_folder(tmp_path)


def test_text_replaces_the_old_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.json"
    write_text(path, "old")
    write_text(path, "é")
    assert path.read_bytes() == b"\xc3\xa9"
    assert list(tmp_path.iterdir()) == [path]

    def broken(_source: object, _target: object) -> NoReturn:
        assert path.read_text(encoding="utf-8") == "é"  # whole until the very rename
        raise OSError

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "é"
