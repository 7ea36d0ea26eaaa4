# SPDX-License-Identifier: GPL-3.0-or-later
"""What the preferences show of the work that their buttons start, and what the panel's inputs take."""

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from layout_recorder import Layout, labels, operators  # noqa: E402


class Shown:
    """The preferences as Blender hands them to `draw`, with a layout that writes down."""

    def __init__(self, seen):
        self.layout = Layout(seen)

    def __getattr__(self, name):
        return getattr(part("preferences").preferences(), name)

    @property
    def bl_rna(self):
        return part("preferences").preferences().bl_rna


def draw():
    seen = []
    part("preferences").MVDREAM_AP_preferences.draw(Shown(seen), bpy.context)
    return seen


def session():
    return part("runtime").session()


@pytest.fixture(autouse=True)
def idle_after(addon):
    yield
    session().doing, session().installing, session().error = "", None, None


def test_nothing_under_way(addon):
    seen = draw()
    assert "mvdream.install_backend" in operators(seen)
    assert "mvdream.cancel" not in operators(seen)
    assert "progress" not in [name for name, _, _ in seen]


def test_an_installation_shows_how_far_it_is_and_can_be_stopped(addon):
    session().doing = "install"
    session().installing = part("install_output").InstallProgress("Downloading torch", 0.25)
    seen = draw()
    assert ("progress", (), {"factor": 0.25, "text": "25 %"}) in seen
    assert "Downloading torch" in labels(seen)
    buttons = operators(seen)
    assert buttons.index("mvdream.cancel") == buttons.index("mvdream.stop_backend") + 1


def test_what_went_wrong_is_told_where_the_button_was_pressed(addon):
    message = "The package index can't be reached. " + "The end of the log. " * 10
    session().error = part("errors").MVDreamError(message, "install")
    seen = draw()
    assert "".join(message.split()) in "".join("".join(labels(seen)).split())
    buttons = operators(seen)
    assert buttons[buttons.index("mvdream.stop_backend") + 1] == "mvdream.install_backend"


def test_a_long_prompt_is_kept_as_it_is(addon):
    inputs = bpy.context.scene.mvdream
    for name in ("prompt", "negative_prompt"):
        setattr(inputs, name, "ä" * 1000)
        assert getattr(inputs, name) == "ä" * 1000
