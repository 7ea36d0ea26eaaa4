# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may ask the hub: logins and their tokens, and computers that are offline."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.errors import UserError
from tests.backend.hub.fetching import fetch, go_offline
from tests.backend.hub.hub_server import CONTENT, HubServer

TOKEN = "hf_secretsecretsecret"


def test_the_store_of_large_files_never_sees_the_token(
    hub: HubServer, new_hub: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = new_hub()
    hub.manners.token, hub.manners.store = TOKEN, store.url
    store.manners.break_at = [100_000]
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert {request.authorization for request in hub.requests} == {f"Bearer {TOKEN}"}
    assert {request.authorization for request in store.requests} == {None}
    assert store.ranges() == [None, "bytes=100000-"]
    assert len(hub.ranges()) == 2  # the store's address may expire, so it is asked for again


def test_a_login_is_used_and_a_refused_one_told_without_the_token(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from huggingface_hub import constants

    caplog.set_level(logging.DEBUG)
    hub.manners.token = TOKEN
    with pytest.raises(UserError, match="wants a login"):
        fetch(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN + "expired")
    with pytest.raises(UserError, match=r"refuses the stored token.*HF_TOKEN") as caught:
        fetch(tmp_path)
    monkeypatch.delenv("HF_TOKEN")
    stored = tmp_path / "token"
    stored.write_text(TOKEN + "\n")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(stored))
    fetch(tmp_path)
    assert TOKEN not in str(caught.value) + caplog.text


def test_a_token_that_cannot_be_one_is_told(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_söcret")
    with pytest.raises(UserError, match="characters that no token has") as caught:
        fetch(tmp_path)
    assert "söcret" not in str(caught.value)


def test_offline_mode_asks_nobody(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        go_offline(patch)
        with pytest.raises(UserError, match=r"HF_HUB_OFFLINE forbids.*convert it here"):
            fetch(tmp_path)
    fetch(tmp_path)
    hub.requests.clear()
    go_offline(monkeypatch)
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert hub.requests == []


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"HF_HUB_OFFLINE": "yes", "TRANSFORMERS_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        ({"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": "1"}, "TRANSFORMERS_OFFLINE"),
    ],
)
def test_the_variable_that_forbids_it_is_named(
    hub: HubServer, tmp_path: Path, variables: dict[str, str], named: str
) -> None:
    code = (
        "import sys; from pathlib import Path; from backend.hub.download import download\n"
        "from backend.errors import UserError; from tests.backend.hub.hub_server import FILE\n"
        "try:\n    download(FILE, Path(sys.argv[1]), lambda *report: None, lambda: False)\n"
        "except UserError as error:\n    print(error)"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{named} forbids the download" in done.stdout
    assert hub.requests == []
