# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker that is started before there is a job, and has imported by then what every job needs.

Python, PyTorch and diffusers take seconds to start, which is most of what a user waits for until the first
step. The spare spends them while nobody waits. It does one job like any other worker, and ends with it.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from backend.memory.free import available_ram
from backend.service.processes import WorkerProcess

log = logging.getLogger(__name__)

WAIT = "--wait"
"""Argument of a worker that reads its job's folder from the first line of its standard input, as JSON."""
LEAST_FREE = 3 * 2**30
"""Bytes of memory that must be free: where they are short they are wanted for something else."""


class Spare:
    """At most one waiting worker.

    Args:
        command: starts a worker; without an argument for the job's folder.
        environment: of the worker.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._command = (*command, WAIT)
        self._environment = environment
        self._process: WorkerProcess | None = None

    @property
    def process(self) -> WorkerProcess | None:
        """The waiting worker, if there is one and it lives."""
        if self._process is not None and not self._process.alive:
            self._process = None
        return self._process

    def prepare(self) -> None:
        """Starts a worker if none waits and there is memory for it. To be called in the event loop."""
        if self.process is not None or 0 < available_ram() < LEAST_FREE:
            return
        try:
            # What it says before it has a job would be said again by a worker that is started for the job.
            self._process = WorkerProcess(
                self._command, self._environment, Path(os.devnull), lambda line: None
            )
        except (OSError, RuntimeError) as error:
            log.warning("No worker could be started in advance: %s", error)

    def take(self, folder: Path, on_line: Callable[[bytes], None]) -> WorkerProcess | None:
        """Gives the waiting worker the job in `folder`; None where there is no worker."""
        process, self._process = self.process, None
        if process is None:
            return None
        process.on_line = on_line
        try:
            process.tell(json.dumps(str(folder.absolute())))
        except (OSError, RuntimeError):
            log.warning("The worker that was started in advance has ended")
            return None
        return process

    async def end(self, grace: float) -> None:
        """Ends the waiting worker, for good."""
        process, self._process = self._process, None
        if process is not None:
            await asyncio.shield(process.stop(grace))
