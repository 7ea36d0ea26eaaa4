# SPDX-License-Identifier: GPL-3.0-or-later
"""The models as preferences and panel draw them, in every state."""

from dataclasses import replace
from itertools import pairwise

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from layout_recorder import Layout, labels, operators  # noqa: E402

PUBLISHED = "mvdream-sd21"


@pytest.fixture
def library(addon, monkeypatch, tmp_path):
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path))
    found = part("runtime").session().library
    found.models = part("models").KNOWN
    yield found
    found.close()
    found.errors.clear()


def draw_preferences():
    seen = []
    kind = part("preferences").MVDREAM_AP_preferences
    drawn = type(
        "Drawn", (), {"layout": Layout(seen), "bl_rna": kind.bl_rna} | dict.fromkeys(kind.__annotations__, "")
    )
    kind.draw(drawn(), bpy.context)
    return seen


def draw_panel():
    seen = []
    part("panels").MVDREAM_PT_generate.draw(type("Panel", (), {"layout": Layout(seen)})(), bpy.context)
    return seen


def meant(seen):
    """The model operators that are offered and what they are for."""
    pairs = pairwise(seen)
    return [
        (one[1][0].split(".")[1], two[1][1]) for one, two in pairs if one[0] == "operator" and two[0] == "set"
    ]


def downloads(name):
    """The two buttons: as it is, and with 16 bits."""
    return [("download_model", name)] * 2


def start(library, follower=True):
    """A download that stands still."""
    steps = (wait for wait in [part("tasks").Delay(3600)])
    download = library._follower(PUBLISHED, {"name": PUBLISHED, "half": False}) if follower else None
    library._start(PUBLISHED, steps, download)
    return download and download.job


def text(seen):
    return " ".join(labels(seen))


def test_all_known_models_with_size_licence_and_state(library):
    seen = draw_preferences()
    url = "https://huggingface.co/MVDream/MVDream"
    assert meant(seen) == [
        ("url_open", "https://www.gnu.org/licenses/gpl-3.0.html"),
        *downloads(PUBLISHED),
        ("url_open", url),
        *downloads("mvdream-sd15"),
        ("url_open", url),
    ]
    assert seen.count(("set", ("half", True), {})) == 2
    said = text(seen)
    for part_of_it in (
        "Small (64 pixels): ships with MVDream",
        "MVDream (Stable Diffusion 2.1): not installed",
        "about 5.20 GB)",
        "Licence: OpenRAIL",
    ):
        assert part_of_it in said
    assert "mvdream.refresh_models" in operators(seen)


def test_an_installed_model_and_a_part_of_one_can_be_removed(library):
    small, published, other = library.models
    part_of_it = replace(other, downloaded_bytes=1_500_000_000, removable=True)
    library.models = (small, replace(published, installed=True, removable=True), part_of_it)
    seen = draw_preferences()
    assert [pair for pair in meant(seen) if pair[0] != "url_open"] == [
        ("remove_model", PUBLISHED),
        *downloads("mvdream-sd15"),
        ("remove_model", "mvdream-sd15"),
    ]
    assert "2.1): installed" in text(seen)
    assert "1.5): 1.50 GB downloaded, not installed" in text(seen)


def test_a_download_under_way(library):
    job = start(library)
    job.apply(
        {
            "id": "1",
            "status": "running",
            "stage": "download",
            "progress": 0.25,
            "message": "Downloading x.pt: 1.30 GB of 5.20 GB, 10.0 MB/s, 6:30 min left",
        }
    )
    bpy.context.scene.mvdream.model = PUBLISHED
    for seen in (draw_preferences(), draw_panel()):
        assert ("progress", (), {"factor": 0.25, "text": "25 %"}) in seen
        assert ("cancel_download", PUBLISHED) in meant(seen)
        assert "10.0 MB/s, 6:30 min left" in text(seen)
    assert "2.1): being downloaded" in text(draw_preferences())
    assert ("download_model", PUBLISHED) not in meant(draw_panel())


def test_a_removal_under_way(library):
    start(library, follower=False)
    assert "2.1): being removed" in text(draw_preferences())


def test_errors_are_shown_whole(library):
    message = "The disk is full. " + " ".join(f"word{number}" for number in range(80))
    error = part("errors").MVDreamError
    library.errors = {PUBLISHED: error(message), part("library").LIST: error("Nobody answers.")}
    assert message in text(draw_preferences())
    assert "Nobody answers." in text(draw_preferences())
    bpy.context.scene.mvdream.model = PUBLISHED
    assert message in text(draw_panel())


def test_a_broken_model_can_be_removed_and_not_downloaded(library):
    broken = replace(library.models[1], broken="The model file x is broken.", removable=True)
    library.models = (broken,)
    bpy.context.scene.mvdream.model = PUBLISHED
    assert "2.1): broken" in text(draw_preferences())
    for seen in (draw_preferences(), draw_panel()):
        assert [pair for pair in meant(seen) if pair[0] != "url_open"] == [("remove_model", PUBLISHED)]
        assert "The model file x is broken." in text(seen)


@pytest.mark.parametrize(
    ("fix", "button"),
    [
        ("restart", "mvdream.restart_backend"),
        ("install", "mvdream.install_backend"),
        ("preferences", "preferences.addon_show"),
        ("online", "screen.userpref_show"),
    ],
)
def test_every_error_has_its_button(library, fix, button):
    bpy.context.scene.mvdream.model = PUBLISHED
    usual = [draw().copy() for draw in (draw_preferences, draw_panel)]
    library.errors = {PUBLISHED: part("errors").MVDreamError("Something.", fix=fix)}
    for before, seen in zip(usual, (draw_preferences(), draw_panel()), strict=True):
        assert operators(seen).count(button) == operators(before).count(button) + 1
    assert (("set", ("section", "SYSTEM"), {}) in draw_panel()) is (fix == "online")


def test_the_panel_offers_the_download_of_the_chosen_model(library):
    assert meant(draw_panel()) == []
    bpy.context.scene.mvdream.model = PUBLISHED
    seen = draw_panel()
    assert meant(seen) == downloads(PUBLISHED)
    assert "Download mvdream-sd21 (about 5.20 GB)" in [values.get("text") for _, _, values in seen]
    for name in ("small", "elsewhere"):
        bpy.context.scene.mvdream.model = name
        assert meant(draw_panel()) == []


def test_drawing_changes_nothing(library):
    session = part("runtime").session()
    revision = session.revision
    draw_preferences()
    assert session.revision == revision
    assert not library.busy
