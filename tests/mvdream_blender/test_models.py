# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on knows of models without a backend, compared with what the backend itself says."""

import sys
from dataclasses import replace

import pytest

from mvdream_blender import models_folder
from mvdream_blender.models import KNOWN, Model, amount, parse
from mvdream_blender.models_folder import look


def put(home, name, text="{}"):
    (home / name).mkdir(parents=True)
    (home / name / "mvdream.json").write_text(text)


def test_known_models_are_the_backends():
    pytest.importorskip("pydantic")
    from backend.diffusion import catalogue

    assert parse([model.as_json() for model in catalogue.KNOWN.values()]) == tuple(
        replace(model, installed=False) for model in KNOWN
    )


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"MVDREAM_MODELS": "~/models"},
        {"MVDREAM_MODELS": ""},
        {"XDG_CACHE_HOME": "/caches", "LOCALAPPDATA": "/local"},
        {"XDG_CACHE_HOME": "caches", "LOCALAPPDATA": ""},
    ],
)
def test_the_folder_is_the_backends(monkeypatch, platform, variables):
    pytest.importorskip("pydantic")
    from backend.diffusion import registry

    for name in ("MVDREAM_MODELS", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert models_folder.models_folder() == registry.models_folder()


def test_the_folder_holds_what_the_backend_finds_in_it(tmp_path, monkeypatch):
    pytest.importorskip("pydantic")
    from backend.service.model_list import listed

    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path))
    put(tmp_path, "mine", '{"name": "mine", "title": "My own", "image_size": 64}')
    put(
        tmp_path, "mvdream-sd15", '{"name": "x", "title": "MVDream (Stable Diffusion 1.5)", "image_size": 64}'
    )
    put(tmp_path, "torn", '{"name": "torn", "tit')
    put(tmp_path, "nameless", '{"title": "Nobody", "image_size": 64}')
    put(tmp_path, "half.part")
    put(tmp_path, ".hidden")
    (tmp_path / ".downloads" / "mvdream-sd21").mkdir(parents=True)
    (tmp_path / ".downloads" / "mvdream-sd21" / "0.partial").write_bytes(b"12345")
    (tmp_path / ".downloads" / "mvdream-sd21" / "download.json").write_bytes(b"{}")
    said = {model.name: model for model in parse(listed())}
    seen = {model.name: model for model in look(tmp_path)}
    for name in ("torn", "nameless"):
        # The backend knows more exactly what is wrong.
        assert f"{name}/mvdream.json is broken" in seen[name].broken
        assert f"{name}/mvdream.json is broken" in said[name].broken
        said[name] = replace(said[name], broken=seen[name].broken)
        assert (seen[name].installed, seen[name].removable) == (False, True)
    # The small model's own configuration may have a title that is more exact.
    del said["small"], seen["small"]
    assert seen == said
    assert (seen["mvdream-sd21"].downloaded_bytes, seen["mvdream-sd21"].removable) == (5, True)


def test_without_a_folder_there_are_the_known_ones(tmp_path):
    assert look(tmp_path / "nowhere") == KNOWN


def test_a_model_in_the_place_of_the_one_that_ships_does_not_count(tmp_path):
    put(tmp_path, "small")
    assert look(tmp_path) == KNOWN


def test_a_broken_model_is_there_to_be_removed(tmp_path):
    put(tmp_path, "c", "[")
    put(tmp_path, "b", "[]")
    put(tmp_path, "a", '{"name": "a", "image_size": 64, "title": ""}')
    put(tmp_path, "mvdream-sd21", "{")
    found = {model.name: model for model in look(tmp_path)}
    assert found["a"] == Model("a", "a", installed=True, removable=True)
    for name in ("b", "c", "mvdream-sd21"):
        file = tmp_path / name / "mvdream.json"
        assert found[name].broken == f"The model file {file} is broken."
        assert (found[name].installed, found[name].removable) == (False, True)
        assert not found[name].downloadable
    assert found["mvdream-sd15"].downloadable


@pytest.mark.parametrize("answer", [{"detail": "no"}, [{"title": "no name"}], ["small"], None, 5])
def test_an_answer_that_is_no_list_of_models(answer):
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse(answer)


def test_amounts_are_as_the_backend_says_them():
    assert [amount(count) for count in (0, 15_100_000, 999_000_000, 5_200_000_000)] == [
        "0.0 MB",
        "15.1 MB",
        "999.0 MB",
        "5.20 GB",
    ]
