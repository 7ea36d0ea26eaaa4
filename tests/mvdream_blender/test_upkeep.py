# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to the backend itself, as the session sees it. Without Blender."""

import pytest

from mvdream_blender import upkeep
from mvdream_blender.configuration import Configuration
from mvdream_blender.environment_marker import identity, mark
from mvdream_blender.errors import MVDreamError, StaysOffline
from mvdream_blender.session import Session


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setenv("MVDREAM_MODELS", str(tmp_path / "models"))
    requirements = tmp_path / "requirements" / "backend.txt"
    requirements.parent.mkdir()
    requirements.write_text("torch==2.13\n")
    made = Session(Configuration(tmp_path / "user", source=tmp_path), lambda *_: iter(()))
    yield made
    made.close()


def put_environment(session, name):
    environment = session.configuration.environment
    folder = environment.folder.with_name(name)
    python = folder / environment.python.relative_to(environment.folder)
    python.parent.mkdir(parents=True)
    python.touch()
    mark(folder, identity(environment.folder, environment.requirements))


def test_offline_nothing_is_installed(session):
    with pytest.raises(StaysOffline, match="packages come from the internet"):
        upkeep.install(session)
    assert not session.busy


def test_what_an_installation_of_a_blender_that_died_has_set_aside_is_back_at_the_next_start(session):
    assert not session.installed
    put_environment(session, "env.kept")
    again = Session(session.configuration, session.deliver)
    assert again.installed
    again.close()


def test_another_blenders_installation_is_seen(session):
    put_environment(session, "env")
    session.configuration = Configuration(
        session.configuration.user_folder, source=session.configuration.source, online=True
    )
    with pytest.raises(MVDreamError, match="Another Blender has installed"):
        upkeep.install(session)
    assert session.installed
    assert not session.busy


@pytest.mark.parametrize("verb", [upkeep.install, upkeep.restart, upkeep.stop])
def test_one_thing_at_a_time(session, verb):
    upkeep.stop(session)
    with pytest.raises(MVDreamError, match="started or stopped"):
        verb(session)
    while session.tick():
        pass
    assert session.error is None
