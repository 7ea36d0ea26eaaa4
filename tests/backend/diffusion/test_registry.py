# SPDX-License-Identifier: GPL-3.0-or-later
import json

import pytest

from backend.diffusion import registry
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
