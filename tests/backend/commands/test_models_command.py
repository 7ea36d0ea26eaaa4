# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend models`, as a person calls it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import cli
from tests.backend.hub.hub_server import HubServer
from tests.foreground import in_foreground

GOLDENS = Path(__file__).resolve().parents[2] / "data" / "goldens"
TINY, YAML = GOLDENS / "tiny-v15.safetensors", GOLDENS / "tiny-v15.yaml"
NAME = "MVDream/MVDream/sd-v1.5-4view.pt"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("MVDREAM_MODELS", str(folder))
    return folder


@pytest.fixture
def hub() -> Iterator[HubServer]:
    server = HubServer({})
    yield server
    server.close()


@pytest.fixture
def environment(hub: HubServer, home: Path, tmp_path: Path) -> dict[str, str]:
    """Of a computer with the hub on loopback, and without a login."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    # The quick answers to trouble are tested elsewhere; here are the times that a person would see.
    return kept | {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "backend", "models", *words]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_a_download_from_the_command_line(hub: HubServer, environment: dict, home: Path) -> None:
    """Broken off once, finished by the same command: two processes, one file."""
    # What a file is shows in its content, whatever its name.
    hub.files[NAME] = TINY.read_bytes()
    hub.manners.stall_at = [200_000]
    words = command("download", "mvdream-sd15", "--config", str(YAML), "--half")
    first = in_foreground(words, env=environment)
    partials = home / ".downloads" / "mvdream-sd15"
    while sum(path.stat().st_size for path in partials.glob("*.partial")) < 200_000:
        assert first.poll() is None, first.communicate()
    first.send_signal(signal.SIGINT)
    out, err = first.communicate()
    assert (first.returncode, out) == (130, "")
    assert err.startswith(f"MVDream (Stable Diffusion 1.5), from {NAME}. Licence: OpenRAIL")
    assert err.endswith("Stopped.\n")
    assert "Traceback" not in err

    second = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert [request.method for request in hub.requests] == ["HEAD", "GET"] * 2
    assert hub.ranges() == [None, "bytes=200000-"]
    assert second.stdout == f"mvdream-sd15: {home / 'mvdream-sd15'}\n"
    assert "HTTP Request" not in second.stderr
    assert not partials.exists()
    third = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert third.stdout == f"mvdream-sd15 is there already: {home / 'mvdream-sd15'}\n"


def test_a_refusal_is_one_sentence(hub: HubServer, environment: dict) -> None:
    hub.manners.token = "hf_something"
    done = subprocess.run(
        command("download", "mvdream-sd15"),
        env=environment | {"HF_TOKEN": "hf_another"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"127.0.0.1:{hub.port} refuses the stored token")
    assert "hf_another" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_what_can_be_typed_when_a_download_fails(hub: HubServer, environment: dict, home: Path) -> None:
    partial = home / ".downloads" / "mvdream-sd15" / "abc.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"some")
    words = command("download", "mvdream-sd15")
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert "(404)" in done.stderr
    away = "`python -m backend models remove mvdream-sd15` throws away what is here"
    assert done.stderr.endswith(f"The same command tries again; {away}.\n")


def test_list_convert_info_remove(home: Path, capsys: pytest.CaptureFixture) -> None:
    def run(*words: str) -> str:
        assert cli.main(["models", *words]) == 0
        return capsys.readouterr().out

    assert run("convert", str(TINY), "mine", "--config", str(YAML)).startswith(f"mine: {home / 'mine'}\n")
    partial = home / ".downloads" / "mvdream-sd21" / "abc.partial"
    partial.parent.mkdir()
    partial.write_bytes(bytes(1_500_000))
    (home / ".gone.converting-0123abcd").mkdir()
    (home / ".gone.converting-0123abcd" / "weights").write_bytes(bytes(2_000_000))
    (home / "broken").mkdir()
    (home / "broken" / "mvdream.json").write_text("{}")
    rows = [line.split("  ") for line in run("list").splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0] == ["NAME", "STATE", "SIZE", "FOLDER"]
    states = {row[0]: (row[1], row[3]) for row in cells[1:6]}
    assert states == {
        "broken": ("damaged", str(home / "broken")),
        "mine": ("installed", str(home / "mine")),
        "mvdream-sd15": ("not downloaded", "-"),
        "mvdream-sd21": ("1.5 MB downloaded", "-"),
        "small": ("shipped", str(Path(cli.__file__).parent / "models" / "small")),
    }
    assert cells[-2] == [f"Models folder: {home}"]
    assert cells[-1][0].startswith("Broken-off work on gone left 2.0 MB there.")

    said = run("info", "mine")
    assert "prompts       none (no text encoder)" in said
    assert "4 views of 256 x 256 pixels" in said
    assert "unet          1.08 M parameters, F32" in said
    assert run("info", str(home / "mine")) == said
    small = run("info", "small")
    assert "132 words" in small
    assert "ships with the program" in small
    assert "MVDream/MVDream/sd-v2.1-base-4view.pt" in run("info", "mvdream-sd21")
    assert run("remove", "mine") == f"Removed {home / 'mine'}\n"
    assert not (home / "mine").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["info", "nothing"], "There is no model 'nothing'"),
        (["info", str(YAML)], "is a file, and a model is a folder"),
        (["remove", "small"], "ships with the program"),
        (["download", "small"], "ships with the program"),
        (["convert", "gone.pt", "mine"], "There is no checkpoint gone.pt"),
        (["convert", str(TINY), "../mine"], "can't be the name of a model"),
    ],
)
def test_mistakes_are_sentences(
    home: Path, capsys: pytest.CaptureFixture, words: list[str], said: str
) -> None:
    assert cli.main(["models", *words]) == 2
    assert said in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom backend.cli import main\n"
        "try:\n    main(['models', 'download', '--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'huggingface_hub', 'httpx2', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
