# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers that were started in advance, real ones with a stand-in pipeline: they do what the others do."""

import functools
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from service_harness import Server, alive, until
from supervisor_harness import eventually, run_story

from backend.service import spare, supervisor
from backend.service.jobs import Status
from backend.service.store import JobStore
from backend.service.supervisor import Supervisor


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a story with a supervisor at work that starts workers in advance."""
    monkeypatch.setattr(supervisor, "SPARE_DELAY", 0.01)
    monkeypatch.setattr(spare, "LEAST_FREE", 1)
    return functools.partial(run_story, tmp_path, spare=True, grace=15.0)


async def _waiting(working: Supervisor) -> int:
    """The process that waits."""
    await eventually(lambda: working._spare.process)
    return working._spare.process.pid


def _submit(working: Supervisor, store: JobStore, name: str, prompt: str) -> None:
    store.add(name, "generate", {"prompt": prompt})
    working.wake()


def test_it_does_the_next_job_and_another_waits_then(play: Callable, tmp_path: Path) -> None:
    async def story(working: Supervisor, store: JobStore) -> None:
        first = await _waiting(working)
        _submit(working, store, "one", "an endless mug")
        await eventually(lambda: store.get("one").step >= 2)
        assert json.loads((tmp_path / "jobs" / "one" / "pid.json").read_text()) == first
        assert working._spare.process is None  # memory and processor are the job's now
        await working.cancel("one")
        assert store.get("one").status is Status.CANCELLED
        assert not alive(first)
        assert await _waiting(working) != first
        _submit(working, store, "two", "a mug")
        await eventually(lambda: store.get("two").ended)
        assert store.get("two").status is Status.DONE
        assert store.get("two").files == ["mesh.glb", "preview.png"]

    play(story)


def test_what_it_says_goes_to_the_log_of_its_job(play: Callable, tmp_path: Path) -> None:
    async def story(working: Supervisor, store: JobStore) -> None:
        waiting = await _waiting(working)
        _submit(working, store, "one", "chatty")
        await eventually(lambda: store.get("one").ended)
        assert store.get("one").status is Status.DONE
        assert not alive(waiting)
        _submit(working, store, "two", "crash")
        await eventually(lambda: store.get("two").ended)
        assert "the frobnicator is upside down" in store.get("two").error

    play(story)
    log = (tmp_path / "jobs" / "one" / "worker.log").read_text()
    assert "progress 50 %" in log
    assert "forged" in log


def test_one_that_died_is_replaced(play: Callable) -> None:
    async def story(working: Supervisor, store: JobStore) -> None:
        waiting = await _waiting(working)
        os.kill(waiting, signal.SIGKILL)
        await eventually(lambda: not working._spare.process)
        _submit(working, store, "one", "a mug")
        await eventually(lambda: store.get("one").ended)
        assert store.get("one").status is Status.DONE

    play(story)


def test_it_ends_with_its_supervisor(play: Callable) -> None:
    seen: list[int] = []

    async def story(working: Supervisor, store: JobStore) -> None:
        seen.append(await _waiting(working))

    play(story)
    assert not alive(seen[0])


def test_none_is_started_where_memory_is_short(play: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "available_ram", lambda: 0.5)

    async def story(working: Supervisor, store: JobStore) -> None:
        working._spare.prepare()
        assert working._spare.process is None

    play(story)


def test_it_does_not_outlive_a_killed_service(start: Callable[..., Server]) -> None:
    prelude = (
        "from backend.service import spare, supervisor; supervisor.SPARE_DELAY = 0; spare.LEAST_FREE = 1"
    )
    server = start(spare=True, prelude=prelude).wait_until_ready()
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    if not children.exists():
        pytest.skip("this system does not tell a process's children")
    (waiting,) = until(lambda: [int(pid) for pid in children.read_text().split()])
    server.process.kill()
    until(lambda: not alive(waiting))
