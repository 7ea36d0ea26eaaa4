# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that are not those announced: checksums, damaged partial files, hubs that send others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from backend.errors import UserError
from tests.backend.hub.fetching import fetch, partial_of
from tests.backend.hub.hub_server import CONTENT, FILE, HubServer


def test_a_wrong_checksum_is_refused_and_thrown_away(hub: HubServer, tmp_path: Path) -> None:
    hub.manners.checksum = "ab" * 32
    with pytest.raises(UserError, match=r"checksum is not the announced abababab.*without the mirror"):
        fetch(tmp_path)
    assert not list(tmp_path.iterdir())
    assert hub.ranges() == [None]


@pytest.mark.parametrize("checksum", ["../../evil", "made-up-by-a-mirror", "ab" * 31, "ab" * 32 + "/../x"])
def test_a_checksum_that_is_none_is_refused_before_anything_is_written(
    hub: HubServer, tmp_path: Path, checksum: str
) -> None:
    hub.manners.checksum = checksum
    with pytest.raises(UserError, match="announces no size and checksum"):
        fetch(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    assert hub.ranges() == []


def test_gits_checksum_of_small_files_counts_too(hub: HubServer, tmp_path: Path) -> None:
    # What `git hash-object` says.
    hub.files[str(FILE)] = b"hello\n"
    hub.manners.checksum = "ce013625030ba8dba906f756967f9e9ca394464a"
    assert fetch(tmp_path).path.read_bytes() == b"hello\n"
    hub.manners.checksum = "ce013625030ba8dba906f756967f9e9ca394464b"
    with pytest.raises(UserError, match="checksum"):
        fetch(tmp_path / "other")


def test_a_damaged_partial_file_is_noticed_and_made_again(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.manners.break_at = [200_000] * 5
    with pytest.raises(UserError):
        fetch(tmp_path)
    partial = partial_of(tmp_path)
    partial.write_bytes(bytes(1000) + CONTENT[1000:200_000])
    hub.manners.break_at = []
    hub.requests.clear()
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert hub.ranges() == ["bytes=200000-", None]
    assert "do not fit together" in caplog.text


@pytest.mark.parametrize("longer", [True, False], ids=["too long", "of another version"])
def test_a_partial_file_that_cannot_go_on_is_thrown_away(
    hub: HubServer, tmp_path: Path, longer: bool
) -> None:
    name = hashlib.sha256(CONTENT).hexdigest()[:24] if longer else "00" * 12
    (tmp_path / f"{name}.partial").write_bytes(bytes(400_000 if longer else 1000))
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert hub.ranges() == [None]
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("how", ["ignores", "refuses"])
def test_a_hub_without_ranges_starts_again(hub: HubServer, tmp_path: Path, how: str) -> None:
    hub.manners.break_at = [100_000]
    hub.manners.ignore_ranges = how == "ignores"
    hub.manners.refuse_ranges = 1 if how == "refuses" else 0
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert hub.ranges() == [None, "bytes=100000-"] + [None] * (how == "refuses")


def test_more_bytes_than_announced_are_refused(hub: HubServer, tmp_path: Path) -> None:
    hub.manners.extra_bytes = 5
    with pytest.raises(UserError, match=r"sends more of model\.pt than the 300000 bytes"):
        fetch(tmp_path)
    assert partial_of(tmp_path).stat().st_size == 0
