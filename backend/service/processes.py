# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker process together with everything it starts: its messages, its end, and how it is stopped.

Threads instead of asyncio's own subprocesses: those differ between event loops and Python versions (some
wait for a pipe that a grandchild still holds), and a worker needs only two.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

MAX_LINE = 1 << 20


class WorkerProcess:
    """Starts `command` in a process group of its own.

    Its standard input is a pipe that only this process holds: when this process dies, the worker reads the
    end of it and stops. Its standard error goes to the file `log`. `on_line` may be replaced at any time, in
    the event loop.

    Args:
        command: program and arguments.
        environment: of the new process.
        log: file that standard error is appended to.
        on_line: called in the event loop with every line of standard output.

    Raises:
        OSError: the program cannot be started, or `log` not be written.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        log: Path,
        on_line: Callable[[bytes], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.on_line = on_line
        self._code: asyncio.Future[int] = self._loop.create_future()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                **_group_of_its_own(),
            )
        self._reader = threading.Thread(target=self._read, name="worker output", daemon=True)
        self._reader.start()
        threading.Thread(target=self._watch, name="worker end", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id; on POSIX the id of the process group, too."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet, as far as the system knows now."""
        return self._process.poll() is None

    def tell(self, line: str) -> None:
        """Writes a line, short enough for a pipe's buffer, to the process's standard input.

        Raises:
            OSError: it has ended.
        """
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(f"{line}\n".encode())
        stdin.flush()

    async def wait(self) -> int:
        """The exit code (minus the signal that killed it), once all lines were handed on."""
        return await asyncio.shield(self._code)

    async def stop(self, grace: float) -> int:
        """Asks the worker to stop; what still runs after `grace` seconds is killed with all it started."""
        self._ask()
        try:
            return await asyncio.wait_for(self.wait(), grace)
        except TimeoutError:
            await asyncio.to_thread(self._kill)
            return await self.wait()

    def _ask(self) -> None:
        # The end of its input is what a worker stops for everywhere; Windows has no signal to ask with.
        stdin: IO[bytes] | None = self._process.stdin
        if stdin is not None and not stdin.closed:
            stdin.close()
        if sys.platform != "win32" and self._process.poll() is None:
            self._process.terminate()

    def _kill(self) -> None:
        if sys.platform == "win32":
            command = ["taskkill", "/T", "/F", "/PID", str(self.pid)]
            subprocess.run(command, check=False, capture_output=True)
            self._process.kill()
        else:
            kill_group(self.pid)

    def _read(self) -> None:
        output = self._process.stdout
        assert output is not None
        while line := output.readline(MAX_LINE):
            self._in_loop(lambda told: self.on_line(told), line)

    def _watch(self) -> None:
        code = self._process.wait()
        if sys.platform != "win32":
            kill_group(self.pid)  # children of a worker that died do not live on
        self._reader.join(timeout=2)
        self._in_loop(self._code.set_result, code)

    def _in_loop(self, call: Callable[..., object], argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, argument)
        except RuntimeError:
            return  # the loop is closed: nobody is left to be told


def kill_group(group: int) -> None:
    """Kills all processes of a process group; a group that is gone already is fine (POSIX)."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # macOS says "not permitted" for a group of which only zombies are left


def _group_of_its_own() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
