# SPDX-License-Identifier: GPL-3.0-or-later
"""A really running service with stand-in workers, and how tests talk to it and wait for it."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

TOKEN = "a-token-for-tests"
WORKER = (sys.executable, str(Path(__file__).with_name("standin_worker.py")))
WORDS = ("mug", "endless", "stubborn", "killed", "crash", "full", "hungry", "mistake", "chatty", "a", "red")
_SERVE = """
import json, logging, sys
from pathlib import Path
from backend.cli import EXIT_USER
from backend.errors import UserError
from backend.service.runner import serve
logging.basicConfig(level=logging.INFO)
options = json.loads(sys.argv[1])
exec(options.pop("prelude"))
try:
    serve(Path(options.pop("data_dir")), **options)
    print("torch imported:", "torch" in sys.modules)
except UserError as error:
    sys.exit(f"UserError: {error}")
"""


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Waits for `condition` to be true and returns its value; far longer than it should ever take."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return True


class Server:
    """A service in its own process. prelude: code it runs first. environment: variables it has besides."""

    def __init__(
        self,
        data_dir: Path,
        models: Path,
        prelude: str = "",
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.data_dir = data_dir
        values = {"data_dir": str(data_dir), "worker_command": WORKER, "prelude": prelude, **options}
        own = {"MVDREAM_TOKEN": TOKEN, "MVDREAM_MODELS": str(models)}
        variables = os.environ | own | (environment or {})
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, json.dumps(values)],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_until_ready(self) -> "Server":
        """Until this process (not a predecessor) has announced itself."""
        self.address = until(self._announced)
        self.client = httpx.Client(
            base_url=self.address["url"], headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20
        )
        return self

    def _announced(self) -> dict[str, Any] | None:
        assert self.process.poll() is None, self.process.stdout.read()
        with contextlib.suppress(OSError):
            address = json.loads((self.data_dir / "service.json").read_text())
            return address if address["pid"] == self.process.pid else None
        return None

    def submit(self, prompt: str, **settings: Any) -> dict[str, Any]:
        """POSTs a job that must be taken."""
        body = {"kind": "generate", "settings": {"prompt": prompt, "model": "tiny", **settings}}
        answer = self.client.post("/v1/jobs", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def job(self, job_id: str) -> dict[str, Any]:
        """The job now."""
        return self.client.get(f"/v1/jobs/{job_id}").raise_for_status().json()

    def until_status(self, job_id: str, *status: str) -> dict[str, Any]:
        """The job once it has one of these states."""
        return until(lambda: (job := self.job(job_id))["status"] in status and job)

    def until_step(self, job_id: str, step: int) -> dict[str, Any]:
        """The running job once it has come so far."""
        return until(lambda: (job := self.job(job_id))["step"] >= step and job)

    def end(self) -> str:
        """Stops it the friendly way; returns what it wrote."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.communicate(timeout=20)[0]
