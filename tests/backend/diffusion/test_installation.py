# SPDX-License-Identifier: GPL-3.0-or-later
"""From a hub on loopback to a model that loads, and out again; with the tiny networks of the goldens."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend.diffusion import installation, registry
from backend.diffusion.catalogue import KNOWN, Network
from backend.diffusion.inspection import folder_bytes
from backend.diffusion.installation import install, install_checkpoint, remove
from backend.errors import Cancelled, UserError
from backend.service.locks import FileLock
from tests.backend.hub.hub_server import COMMIT, QUICK, HubServer, isolate

GOLDENS = Path(__file__).resolve().parents[2] / "data" / "goldens"
TINY, YAML = GOLDENS / "tiny-v21.safetensors", GOLDENS / "tiny-v21.yaml"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder."""
    folder = tmp_path / "models"
    monkeypatch.setenv("MVDREAM_MODELS", str(folder))
    return folder


@pytest.fixture
def hub(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub where `mvdream-sd21` is the tiny network."""
    source = replace(KNOWN["mvdream-sd21"].source, name="tiny-v21.safetensors")
    monkeypatch.setitem(KNOWN, "mvdream-sd21", replace(KNOWN["mvdream-sd21"], source=source))
    server = HubServer({str(source): TINY.read_bytes()})
    isolate(monkeypatch, server.url, tmp_path)
    yield server
    server.close()


def fetch(**options) -> Path:
    return install("mvdream-sd21", config=YAML, patience=QUICK, **options)


def test_a_downloaded_model_can_be_found_and_loaded(hub: HubServer, home: Path, tiny) -> None:
    import torch

    from backend.diffusion import load

    reports: list[tuple[str, int, int]] = []
    with pytest.raises(
        UserError, match=r"not downloaded yet.*`python -m backend models download mvdream-sd21`"
    ):
        registry.resolve("mvdream-sd21")
    folder = fetch(report=lambda *report: reports.append(report))
    assert folder == home / "mvdream-sd21" == registry.resolve("mvdream-sd21")
    assert registry.find("mvdream-sd21").config.name == "mvdream-sd21"
    loaded = load("mvdream-sd21", parts=("unet",)).unet.state_dict()
    for name, value in tiny("v21").unet.state_dict().items():
        assert torch.equal(loaded[name], value)
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["source"] == "MVDream/MVDream/tiny-v21.safetensors"
    assert (origin["commit"], origin["licence"]) == (COMMIT, "OpenRAIL")
    stages = list(dict.fromkeys(message.split(" ")[0] for message, *_ in reports))
    assert stages == ["Asking", "Downloading", "Checking", "Converting"]
    assert all(0 <= done <= total for _, done, total in reports)
    assert not installation.download_folder("mvdream-sd21").exists()
    hub.requests.clear()
    assert fetch() == folder
    assert hub.requests == []


def test_the_download_can_be_kept_and_spares_the_next_one(hub: HubServer, home: Path) -> None:
    folder = fetch(keep=True, half=True)
    kept = installation.download_folder("mvdream-sd21") / "tiny-v21.safetensors"
    assert kept.read_bytes() == TINY.read_bytes()
    halves = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    assert halves < 0.6 * TINY.stat().st_size
    shutil.rmtree(folder)
    hub.requests.clear()
    assert fetch() == folder
    assert hub.requests == []


def test_an_interrupted_conversion_uses_the_download_the_next_time(hub: HubServer, home: Path) -> None:
    cancel = False

    def report(message: str, done: int, total: int) -> None:
        nonlocal cancel
        cancel = message.startswith("Converting (") and done > 0

    with pytest.raises(Cancelled):
        fetch(report=report, cancelled=lambda: cancel)
    assert registry.folders().keys() == {"small"}
    assert [path.name for path in home.iterdir()] == [".downloads"]
    assert installation.downloaded_bytes("mvdream-sd21") == TINY.stat().st_size
    hub.requests.clear()
    assert fetch().is_dir()
    assert hub.requests == []


def test_a_file_that_is_no_checkpoint_can_be_thrown_away(hub: HubServer, home: Path) -> None:
    hub.files["MVDream/MVDream/tiny-v21.safetensors"] = b"<html>not a checkpoint</html>"
    with pytest.raises(UserError, match=r"tiny-v21\.safetensors.*removing the model throws it away"):
        fetch()
    remove("mvdream-sd21")
    hub.files["MVDream/MVDream/tiny-v21.safetensors"] = TINY.read_bytes()
    assert fetch().is_dir()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("small", "ships with the program. To download there are: mvdream-sd21, mvdream-sd15"),
        ("sd-turbo", "no model 'sd-turbo' to download. There are: mvdream-sd21, mvdream-sd15"),
        ("../x", "no model '../x' to download"),
    ],
)
def test_what_cannot_be_downloaded(home: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        install(name)
    assert not home.exists()


def test_two_downloads_of_one_model_do_not_meet(hub: HubServer, home: Path) -> None:
    """The other one is another process, as it would be."""
    code = (
        "import sys; from pathlib import Path; from backend.service.locks import FileLock\n"
        f"path = Path({str(home / '.downloads' / 'mvdream-sd21.lock')!r})\n"
        "path.parent.mkdir(parents=True)\n"
        "lock = FileLock(path); print(lock.acquire(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "True\n"
        for action in (fetch, lambda: install_checkpoint(TINY, "mvdream-sd21", config=YAML)):
            with pytest.raises(UserError, match="Another process is downloading, converting or removing"):
                action()
        other.stdin.close()
    assert fetch().is_dir()


def test_a_checkpoint_on_this_computer_becomes_a_model(home: Path) -> None:
    folder = install_checkpoint(TINY, "mine", config=YAML)
    assert folder == home / "mine" == registry.resolve("mine")
    with pytest.raises(UserError, match=r"a model 'mine' already.*or remove it first"):
        install_checkpoint(TINY, "mine", config=YAML)
    with pytest.raises(UserError, match="a model 'small' already"):
        install_checkpoint(TINY, "small", config=YAML)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "x.part", "-x", "ü", "auto", "NUL"])
def test_names_that_cannot_be(home: Path, name: str) -> None:
    for action in (lambda: install_checkpoint(TINY, name, config=YAML), lambda: remove(name)):
        with pytest.raises(UserError, match="can't be the name of a model"):
            action()
    assert not home.exists()


def test_a_known_name_is_not_for_another_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        r"tiny-v21\.safetensors can't be mvdream-sd21: its UNet has 32 channels and reads text 48 wide, where"
        r" that of mvdream-sd21 has 320 channels and reads text 1024 wide\. Call it something else\."
    )
    with pytest.raises(UserError, match=said):
        install_checkpoint(TINY, "mvdream-sd21", config=YAML)
    assert not (home / "mvdream-sd21").exists()
    fitting = replace(KNOWN["mvdream-sd15"], network=Network(32, 48))
    monkeypatch.setitem(KNOWN, "mvdream-sd15", fitting)
    with pytest.raises(UserError, match=r"Call it mvdream-sd15\."):
        install_checkpoint(TINY, "mvdream-sd21", config=YAML)
    assert install_checkpoint(TINY, "mvdream-sd15", config=YAML) == home / "mvdream-sd15"


def test_a_checkpoint_that_is_not_there(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no checkpoint .*gone\.pt"):
        install_checkpoint(tmp_path / "gone.pt", "mine")


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "mvdream.json").write_text('{"name": "x", "image_size": 64}')
    return folder


def test_remove_takes_the_model_and_its_download(home: Path) -> None:
    folder = make_model(home / "mine")
    leftovers = installation.download_folder("mine")
    leftovers.mkdir(parents=True)
    assert remove("mine") == folder
    assert not folder.exists()
    assert not leftovers.exists()
    assert [path.name for path in home.iterdir()] == [".downloads"]
    with pytest.raises(UserError, match="There is no model 'mine' in"):
        remove("mine")


def test_remove_takes_a_download_that_never_became_a_model(home: Path) -> None:
    leftovers = installation.download_folder("mvdream-sd15")
    leftovers.mkdir(parents=True)
    (leftovers / "abc.partial").write_bytes(bytes(1000))
    assert installation.downloaded_bytes("mvdream-sd15") == 1000
    remove("mvdream-sd15")
    assert not leftovers.exists()


def killed(home: Path, name: str) -> list[Path]:
    """What conversion and removal of a model leave in the folder when their process is killed."""
    made = [home / f".{name}.{doing}-0123abcd" for doing in ("converting", "removed")]
    for folder in made:
        (folder / "unet").mkdir(parents=True)
        (folder / "unet" / "weights").write_bytes(bytes(500))
    return made


def test_what_a_killed_conversion_left_is_counted_and_goes_with_the_model(home: Path) -> None:
    made = killed(home, "mine")
    assert installation.leftover_bytes() == {"mine": 1000}
    assert remove("mine") == home / "mine"
    assert not any(folder.exists() for folder in made)
    assert installation.leftover_bytes() == {}
    with pytest.raises(UserError, match="There is no model 'mine'"):
        remove("mine")


def test_the_next_conversion_clears_away_what_the_last_one_left_moments_ago(home: Path) -> None:
    killed(home, "mine")
    assert install_checkpoint(TINY, "mine", config=YAML).is_dir()
    assert sorted(path.name for path in home.iterdir()) == [".downloads", "mine"]


def test_what_another_process_writes_is_no_leftover(home: Path) -> None:
    (made, _) = killed(home, "mine")
    (home / ".downloads").mkdir()
    lock = FileLock(home / ".downloads" / "mine.lock")
    assert lock.acquire()
    assert installation.leftover_bytes() == {}
    with pytest.raises(UserError, match="Another process"):
        remove("mine")
    assert made.exists()
    lock.release()
    assert installation.leftover_bytes() == {"mine": 1000}


def test_files_that_vanish_while_they_are_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a download finishes and its partial file is renamed."""
    place = installation.download_folder("mvdream-sd15")
    place.mkdir(parents=True)
    for name in ("a.partial", "b.partial"):
        (place / name).write_bytes(bytes(10))
    original = Path.stat

    def stat(path: Path, **options: bool) -> object:
        if path.name == "a.partial":
            raise FileNotFoundError(2, "No such file", str(path))
        return original(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    assert installation.downloaded_bytes("mvdream-sd15") == 10
    assert folder_bytes(home) == 10


def test_remove_leaves_alone_what_is_not_its_own(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'small' ships with the program"):
        remove("small")
    (home / "photos").mkdir(parents=True)
    (home / "photos" / "cat.png").write_bytes(b"cat")
    with pytest.raises(UserError, match="is not a model folder"):
        remove("photos")
    elsewhere = make_model(tmp_path / "elsewhere")
    (home / "link").symlink_to(elsewhere)
    with pytest.raises(UserError, match="is not a model folder"):
        remove("link")
    assert (elsewhere / "mvdream.json").exists()
    assert (home / "photos" / "cat.png").exists()


def test_a_models_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(UserError, match=r"can't be written to.*variable MVDREAM_MODELS"):
        install_checkpoint(TINY, "mine", config=YAML)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, backend.diffusion.installation, backend.diffusion.registry, backend.hub.download\n"
        "print(sorted({'torch', 'huggingface_hub', 'httpx2', 'diffusers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
