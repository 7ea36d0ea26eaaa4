# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels draw in every state and change nothing.

The layout is a recorder: drawing needs a window, the logic does not.
"""

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from layout_recorder import Layout, labels, operators  # noqa: E402


def draw(name="MVDREAM_PT_generate"):
    seen = []
    cls = getattr(part("panels"), name)
    cls.draw(type("Panel", (), {"layout": Layout(seen)})(), bpy.context)
    return seen


def session():
    return part("runtime").session()


def test_idle(addon):
    seen = draw()
    assert operators(seen) == ["mvdream.new_seed", "mvdream.generate", "mvdream.preview_views"]
    assert [arguments[1] for name, arguments, _ in seen if name == "prop"] == [
        "prompt",
        "negative_prompt",
        "seed",
        "preset",
        "model_choice",
    ]


def test_not_installed_offers_to_install(addon, monkeypatch):
    monkeypatch.delenv("MVDREAM_BACKEND_PYTHON")
    session().refresh()
    assert operators(draw()) == ["mvdream.new_seed", "mvdream.install_backend"]
    assert operators(draw("MVDREAM_PT_backend")) == ["mvdream.install_backend"]


def test_working(addon):
    session().generate({"prompt": "slow"}, part("pending").Place())
    session().job.apply(
        {
            "id": "1",
            "status": "running",
            "stage": "distil",
            "step": 5,
            "steps": 10,
            "progress": 0.5,
            "seconds_left": 30,
        }
    )
    seen = draw()
    assert ("progress", (), {"factor": 0.5, "text": "50 %  about 30 s left"}) in seen
    assert operators(seen) == ["mvdream.new_seed", "mvdream.cancel"]
    assert "Shaping the object, step 5 of 10" in labels(seen)
    assert "Making: slow" in labels(seen)
    session().cancel()


def test_sampling_views(addon):
    session().preview_views({"prompt": "slow"})
    session().job.apply({"id": "1", "status": "running", "stage": "sample", "step": 5, "steps": 10})
    seen = draw()
    assert operators(seen) == ["mvdream.new_seed", "mvdream.cancel"]
    assert "Views of: slow" in labels(seen)
    assert "Sampling the views, step 5 of 10" in labels(seen)
    session().cancel()


def test_finished_views_are_shown_two_by_two_and_offer_their_seed(addon, monkeypatch, tmp_path):
    parts = tuple(tmp_path / f"{number}.png" for number in range(1, 5))
    icons = {path: number for number, path in enumerate(parts, start=1)}
    monkeypatch.setattr(part("pictures"), "icon", lambda picture: icons.get(picture, 0))
    session().views = part("viewing").Views("a red mug", 7, tmp_path / "views.png", parts)
    seen = draw()
    drawn = [name for name, _, _ in seen]
    assert [values["icon_value"] for name, _, values in seen if name == "template_icon"] == [1, 2, 3, 4]
    first = drawn.index("template_icon")
    assert drawn[first : first + 5] == ["template_icon"] * 2 + ["row"] + ["template_icon"] * 2
    assert "Views of: a red mug" in labels(seen)
    assert "Seed 7" in labels(seen)
    assert operators(seen)[-1] == "mvdream.use_seed"
    bpy.context.scene.mvdream.seed = 7
    assert "mvdream.use_seed" not in operators(draw())
    session().views = None


def test_the_whole_error_with_its_button(addon):
    message = "The model does not know 'gryphon'. It knows: " + ", ".join(
        f"word{number}" for number in range(80)
    )
    for fix, operator in (
        ("install", "mvdream.install_backend"),
        ("restart", "mvdream.restart_backend"),
        ("preferences", "preferences.addon_show"),
    ):
        session().error = part("errors").MVDreamError(message, fix)
        seen = draw()
        assert operator in operators(seen)
        assert "".join("".join(labels(seen)).split()) == "".join(message.split())


def test_unfinished_jobs_can_be_resumed_or_discarded(addon):
    session().unfinished = [part("pending").PendingJob("7", "a red mug", part("pending").Place(), 1)]
    assert operators(draw())[-2:] == ["mvdream.resume", "mvdream.forget"]


def test_many_unfinished_jobs_do_not_fill_the_panel(addon):
    place = part("pending").Place()
    session().unfinished = [part("pending").PendingJob(str(number), "a mug", place, 1) for number in range(5)]
    seen = draw()
    assert operators(seen).count("mvdream.resume") == 3
    assert labels(seen)[-1] == "and 2 more"


def test_generate_waits_for_what_is_under_way(addon):
    session().doing = "discard"
    try:
        assert "mvdream.generate" in operators(draw())
        assert part("panels").backend_state(session())[0] == "Deleting a job"
    finally:
        session().doing = ""


def test_where_the_object_went_is_told(addon):
    session().job = part("job").Job("a red mug", note="It is in another scene.")
    assert "It is in another scene." in labels(draw())
    session().job = None


def test_installing(addon):
    session().doing = "install"
    session().installing = part("environment").InstallProgress("Downloading torch", 0.25)
    seen = draw("MVDREAM_PT_backend")
    assert ("progress", (), {"factor": 0.25, "text": "25 %"}) in seen
    assert operators(seen) == ["mvdream.cancel"]
    session().doing = ""


def test_another_pytorch_is_offered(addon):
    session().advice = "Another PyTorch suits it."
    seen = draw("MVDREAM_PT_backend")
    assert "Another PyTorch suits it." in labels(seen)
    assert operators(seen)[-1] == "mvdream.install_backend"
    session().advice = ""


def test_the_choice_of_compute_reaches_the_installation(addon):
    chosen = part("preferences").preferences()
    assert chosen.compute == "auto"
    chosen.compute = "rocm"
    try:
        assert session().configuration.environment.platform == "rocm"
    finally:
        chosen.compute = "auto"


def test_drawing_changes_nothing(addon):
    revision = session().revision
    draw()
    draw("MVDREAM_PT_backend")
    assert session().revision == revision
    assert not session().busy


def test_without_a_session(addon):
    runtime = part("runtime")
    runtime.stop()
    assert draw() == []
    runtime.start()
