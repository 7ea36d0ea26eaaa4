# SPDX-License-Identifier: GPL-3.0-or-later
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from backend.diffusion import registry
from backend.diffusion.catalogue import KNOWN
from backend.diffusion.config import ModelConfig
from backend.errors import UserError


@pytest.fixture(autouse=True)
def homes(tmp_path, monkeypatch):
    """Two shipped models and one of the user's, without weights."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    for folder in (shipped / "small", shipped / "big", own / "mine", own / "small"):
        folder.mkdir(parents=True)
        config = ModelConfig(name=folder.name, title=f"{folder.parent.name} {folder.name}", image_size=64)
        (folder / "mvdream.json").write_text(config.model_dump_json())
    vocabulary = shipped / "small" / "tokenizer" / "vocab.json"
    vocabulary.parent.mkdir()
    vocabulary.write_text(json.dumps({"words": ["red", "mug"], "length": 8}))
    monkeypatch.setattr(registry, "SHIPPED", shipped)
    monkeypatch.setenv(registry.USER_MODELS_VARIABLE, str(own))
    return shipped


def test_models_are_listed_with_their_words(homes) -> None:
    entries = {entry.name: entry for entry in registry.models()}
    assert list(entries) == ["big", "mine", "small"]
    assert entries["small"].folder == homes / "small"  # the shipped one wins
    assert entries["small"].config.title == "shipped small"
    assert entries["small"].words == ["mug", "red"]
    assert entries["big"].words is None


def test_a_broken_model_does_not_hide_the_others(homes, caplog) -> None:
    (homes / "big" / "mvdream.json").write_text('{"name": "big", "image_size": -1}')
    assert [entry.name for entry in registry.models()] == ["mine", "small"]
    assert "image_size" in caplog.text
    with pytest.raises(UserError, match="image_size"):
        registry.find("big")


@pytest.mark.parametrize("name", ["huge", "", "..", "../shipped/small", "small/../big"])
def test_unknown_names_list_the_known_ones(name) -> None:
    with pytest.raises(UserError, match="big, mine, small"):
        registry.find(name)


def test_resolve_takes_names_and_folders(homes, tmp_path) -> None:
    assert registry.resolve("small") == homes / "small"
    assert registry.resolve(tmp_path) == tmp_path
    with pytest.raises(UserError, match=r"'nowhere': .*big, mine, small"):
        registry.resolve("nowhere")


def test_misspelt_and_reversed_settings_are_named(homes) -> None:
    path = homes / "big" / "mvdream.json"
    good = json.loads(path.read_text())
    for change, word in (
        ({"guidance": 5}, "guidance"),
        ({"view_ranges": {"fov": [60, 15]}}, "fov"),
        ({"schedule": {"steps": 0}}, "schedule.steps"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(UserError, match=word):
            registry.find("big")


def test_known_models_that_are_missing_say_how_to_get_them(homes, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [model.name for model in registry.not_installed()] == ["mvdream-sd21", "mvdream-sd15"]
    for look in (registry.find, registry.resolve):
        with pytest.raises(
            UserError, match=r"about 4\.3 GB.*`python -m backend models download mvdream-sd15`"
        ):
            look("mvdream-sd15")
    with pytest.raises(UserError, match=r"small, mvdream-sd21 \(not downloaded\)"):
        registry.find("huge")
    installed = registry.models_folder() / "mvdream-sd15"
    installed.mkdir()
    (installed / "mvdream.json").write_text((homes / "big" / "mvdream.json").read_text())
    assert registry.resolve("mvdream-sd15") == installed
    assert [model.name for model in registry.not_installed()] == ["mvdream-sd21"]


def test_what_is_still_being_written_is_no_model(homes) -> None:
    for name in (".mine.converting-12ab", "mine.partial", ".downloads"):
        folder = registry.models_folder() / name
        folder.mkdir()
        (folder / "mvdream.json").write_text((homes / "big" / "mvdream.json").read_text())
    assert list(registry.folders()) == ["big", "mine", "small"]


def test_a_checkpoint_in_the_place_of_a_model_is_told(tmp_path) -> None:
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"is a file, .*models convert .*model\.pt NAME"):
        registry.resolve(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches/mvdream-blender/models"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ann/.cache/mvdream-blender/models"),
        ("linux", {}, "/home/ann/.cache/mvdream-blender/models"),
        ("darwin", {"XDG_CACHE_HOME": "/caches"}, "/home/ann/Library/Caches/mvdream-blender/models"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/mvdream-blender/models"),
        ("win32", {}, "/home/ann/AppData/Local/mvdream-blender/models"),
        ("linux", {"MVDREAM_MODELS": "~/mine"}, "/home/ann/mine"),
        ("linux", {"MVDREAM_MODELS": ""}, "/home/ann/.cache/mvdream-blender/models"),
    ],
)
def test_where_models_live(platform, variables, expected, monkeypatch) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "MVDREAM_MODELS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ann", "USERPROFILE": "/home/ann", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert registry.models_folder() == Path(expected)


def test_known_models_as_plain_values() -> None:
    values = KNOWN["mvdream-sd21"].as_json()
    assert values["source"] == "MVDream/MVDream/sd-v2.1-base-4view.pt"
    assert json.loads(json.dumps(values)) == values
    assert KNOWN["small"].as_json()["source"] is None


def test_a_models_folder_in_nobodys_home_is_told(monkeypatch) -> None:
    monkeypatch.setenv("MVDREAM_MODELS", "~nobody-of-this-name/models")
    with pytest.raises(UserError, match="MVDREAM_MODELS is '~nobody-of-this-name/models'"):
        registry.models_folder()


@pytest.fixture
def whole(homes):
    """The model "big" with small weights, and all that is looked for before a job begins."""
    for place in ("unet", "vae"):
        (homes / "big" / place).mkdir()
        (homes / "big" / place / "config.json").write_text('{"block_out_channels": [4]}')
        path = homes / "big" / place / "diffusion_pytorch_model.safetensors"
        save_file({"a": torch.zeros(3), "b": torch.zeros(2, 2)}, path)
    return homes / "big"


@pytest.mark.parametrize("damage", ["cut off", "missing", "broken"])
def test_a_model_with_damaged_weights_is_not_one_to_choose(whole, caplog, damage) -> None:
    path = whole / "unet" / "diffusion_pytorch_model.safetensors"
    assert "big" in {entry.name for entry in registry.models()}
    if damage == "missing":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] if damage == "cut off" else b"no header" + data)
    assert [entry.name for entry in registry.models()] == ["mine", "small"]
    assert damage in caplog.text
    with pytest.raises(UserError, match=rf"{path.name}.*{damage}.*download or convert it again"):
        registry.find("big")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("unet/config.json", None, "is missing"),
        ("vae/config.json", "[]", "is broken: it holds no settings"),
        ("vae/config.json", "{}", "is broken: it lacks block_out_channels"),
        ("unet/config.json", "{{", "is broken: it is no JSON"),
        ("mvdream.json", "{}", "is broken: it lacks name"),
        ("mvdream.json", "{", "is broken: it is no JSON"),
        ("mvdream.json", '{"name": "x", "image_size": -1}', "is broken: image_size is -1"),
        (
            "mvdream.json",
            '{"name": "x", "image_size": 1, "size": 2}',
            "is broken: it has an unknown entry size",
        ),
        ("tokenizer/vocab.json", "{}", "is broken: it holds no vocabulary"),
    ],
)
def test_a_model_with_damaged_settings_is_not_one_to_choose(whole, caplog, file, text, said) -> None:
    assert registry.find("big").words is None
    (whole / "tokenizer").mkdir()
    (whole / file).unlink(missing_ok=True)
    if text is not None:
        (whole / file).write_text(text)
    with pytest.raises(
        UserError, match=rf"{file} {said}.*\. Remove the model, and download or convert it again\."
    ):
        registry.find("big")
    assert [entry.name for entry in registry.models()] == ["mine", "small"]


def test_a_model_without_its_unet_is_not_one_to_choose(whole) -> None:
    shutil.rmtree(whole / "unet")
    with pytest.raises(UserError, match=r"unet/config\.json is missing"):
        registry.find("big")


@pytest.mark.parametrize("name", ["auto", "Auto", "con", "NUL.v2", "com1", "../up", ".hidden", "a.part"])
def test_names_that_no_model_may_have(name: str) -> None:
    assert not registry.is_name(name)


@pytest.mark.parametrize("name", ["automatic", "console", "mvdream-sd21", "my.model_2"])
def test_names_that_a_model_may_have(name: str) -> None:
    assert registry.is_name(name)
