# SPDX-License-Identifier: GPL-3.0-or-later
"""What can't be done now, or is missing, is told by a sentence, through the operators and a real process."""

import sys

import pytest

bpy = pytest.importorskip("bpy")

from extension_parts import part  # noqa: E402
from running_session import left_with_the_backend, session  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a shell script")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("", "The prompt is empty: say what to make"), ("mistake", "The colour is wrong")],
)
def test_the_backends_sentences_reach_the_script(addon, prompt, message):
    with pytest.raises(RuntimeError, match=message):
        bpy.ops.mvdream.generate(prompt=prompt)
    with pytest.raises(RuntimeError, match=f"^{message}"):
        addon.generate(prompt)
    assert len(bpy.data.objects) == 0
    assert not session().busy
    assert session().unfinished == []
    assert left_with_the_backend() == []


def test_a_second_generate_is_refused(addon):
    session().generate({"prompt": "slow one"}, part("pending").Place())
    with pytest.raises(RuntimeError, match='still making "slow one"'):
        bpy.ops.mvdream.generate(prompt="a red mug")
    assert session().job.prompt == "slow one"
    bpy.ops.mvdream.cancel()
    assert not session().busy


def test_what_is_under_way_with_the_backend_is_not_pushed_aside(addon):
    try:
        for doing in ("connect", "stop", "discard"):
            session().doing = doing
            with pytest.raises(RuntimeError, match="started or stopped"):
                bpy.ops.mvdream.generate(prompt="a red mug")
    finally:
        session().doing = ""


def test_not_installed(addon, monkeypatch):
    monkeypatch.delenv("MVDREAM_BACKEND_PYTHON")
    with pytest.raises(RuntimeError, match="not installed yet"):
        bpy.ops.mvdream.generate(prompt="a red mug")
    assert session().error.fix == "install"
    with pytest.raises(RuntimeError, match="Allow Online Access"):
        bpy.ops.mvdream.install_backend()
    with pytest.raises(part("errors").StaysOffline):
        part("upkeep").install(session())


def test_named_python_that_does_not_exist(addon, monkeypatch, tmp_path):
    monkeypatch.setenv("MVDREAM_BACKEND_PYTHON", str(tmp_path / "none"))
    with pytest.raises(RuntimeError, match="There is no Python at"):
        bpy.ops.mvdream.generate(prompt="a red mug")


def test_a_named_python_without_packages_is_told_by_its_preference(addon, monkeypatch, tmp_path):
    python = tmp_path / "bare python"
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'fastapi'\" >&2; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setenv("MVDREAM_BACKEND_PYTHON", str(python))
    with pytest.raises(RuntimeError, match="preference Python") as caught:
        bpy.ops.mvdream.generate(prompt="a red mug")
    assert str(python) in str(caught.value)
    assert "Install the backend again" not in str(caught.value)
    assert session().error.fix == "preferences"


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        ("cancel", "nothing to cancel"),
        ("resume", "no unfinished job"),
        ("forget", "no unfinished job"),
        ("use_seed", "no previewed views"),
    ],
)
def test_an_operator_with_nothing_to_do_says_so(addon, operator, reason):
    with pytest.raises(RuntimeError, match=reason):
        getattr(bpy.ops.mvdream, operator)()


def test_an_operator_says_that_something_is_under_way(addon):
    session().generate({"prompt": "a endless mug"}, part("runtime").place(bpy.context))
    for operator in ("install_backend", "stop_backend", "restart_backend", "resume", "forget"):
        with pytest.raises(RuntimeError, match="MVDream is busy"):
            getattr(bpy.ops.mvdream, operator)()
    session().cancel()
