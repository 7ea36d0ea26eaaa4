# SPDX-License-Identifier: GPL-3.0-or-later
"""A supervisor at work in the test's own process, with real workers that have a stand-in pipeline."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from service_harness import WORKER

from backend.service.store import JobStore
from backend.service.supervisor import Supervisor

Story = Callable[[Supervisor, JobStore], Awaitable[None]]


def run_story(folder: Path, story: Story, **options: object) -> None:
    """Runs a story with a supervisor at work. options: of the supervisor."""

    async def main() -> None:
        store = JobStore(folder / "jobs.sqlite")
        supervisor = Supervisor(store, folder / "jobs", **({"worker_command": WORKER} | options))
        work = asyncio.create_task(supervisor.run())
        try:
            await story(supervisor, store)
        finally:
            await supervisor.stop()
            await work
            store.close()

    asyncio.run(main())


async def eventually(condition: Callable[[], object]) -> None:
    """Waits for `condition` to be true; far longer than it should ever take."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)
