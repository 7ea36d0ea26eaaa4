# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a user waits before anything happens: `python -m benchmarks.service`.

Seconds until `--help` has printed, until the service answers, and until a job of the shipped model, sent
to the service, has its model loaded and has taken its first step: by a worker that is started for it, and by
one that was waiting. Files are in the page cache after the first round, shown but not in the medians: on a
fresh machine with a GPU it compiles the kernels. --model FOLDER --preset paper: a full-size model instead.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import add_options, finish

ROOT = Path(__file__).resolve().parents[1]
BACKEND = [sys.executable, "-m", "backend"]
LONGEST = 240.0
PAUSE = 0.05
"""Seconds between questions: a service that is asked all the time takes a core from the job that is timed."""
TIME_TO_IMPORT = 15.0
"""Seconds that a waiting worker is given to get ready."""

log = logging.getLogger(__name__)

Seconds = dict[str, float]
Settings = dict[str, str]


class Service:
    """A service in a folder of its own."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        command = [*BACKEND, "serve", "--data-dir", str(folder), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        self._announcement = folder / "service.json"

    def wait(self) -> None:
        """Until it says where it listens."""
        _until(self._announcement.is_file, self.process, 0.005)
        self._where = json.loads(self._announcement.read_text())

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer of a request: GET, or POST with a body."""
        request = urllib.request.Request(
            f"{self._where['url']}/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._where['token']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


@contextmanager
def running_service(*options: str) -> Iterator[Service]:
    """A fresh service, not waited for; ended in the end."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), options)
        try:
            yield service
        finally:
            service.process.terminate()
            service.process.wait()


def help_seconds(_: Settings) -> Seconds:
    """Of `python -m backend --help`."""
    start = time.perf_counter()
    subprocess.run([*BACKEND, "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return {"help": time.perf_counter() - start}


def service_seconds(_: Settings) -> Seconds:
    """Until a fresh service has answered."""
    start = time.perf_counter()
    with running_service() as service:
        service.wait()
        service.ask("health")
        return {"service": time.perf_counter() - start}


def cold_seconds(settings: Settings) -> Seconds:
    """Of a job's beginning where no worker waits."""
    with running_service("--no-spare") as service:
        service.wait()
        return {f"cold, {what}": seconds for what, seconds in _beginning(service, settings).items()}


def warm_seconds(settings: Settings) -> Seconds:
    """Of a job's beginning where a worker has had its time to get ready."""
    with running_service() as service:
        service.wait()
        time.sleep(TIME_TO_IMPORT)
        return {f"warm, {what}": seconds for what, seconds in _beginning(service, settings).items()}


def _beginning(service: Service, settings: Settings) -> Seconds:
    """Seconds from sending a job until its model is loaded, and until it has taken a step."""
    start = time.perf_counter()
    job = service.ask("jobs", {"kind": "generate", "settings": settings})
    found: Seconds = {}

    def reached() -> bool:
        now = service.ask(f"jobs/{job['id']}")
        if now["status"] not in ("queued", "running", "done"):
            raise RuntimeError(f"the job is {now['status']}: {now['error']}")
        if "Loading" not in now["message"] and now["stage"]:
            found.setdefault("model loaded", time.perf_counter() - start)
        return now["stage"] == "distil" and now["step"] > 0

    _until(reached, service.process)
    return {**found, "first step": time.perf_counter() - start}


def _until(condition: Callable[[], bool], process: subprocess.Popen[bytes], pause: float = PAUSE) -> None:
    start = time.perf_counter()
    while not condition():
        if process.poll() is not None or time.perf_counter() - start > LONGEST:
            raise RuntimeError("the service ended, or something took far too long")
        time.sleep(pause)


WORKS = (help_seconds, service_seconds, cold_seconds, warm_seconds)


def measure(
    works: Sequence[Callable[[Settings], Seconds]], settings: Settings, repeats: int
) -> dict[str, Seconds]:
    """What the first round took, and medians of the others, by name.

    The works take turns, so that a busy minute of the machine is not one work's alone.
    """
    first, *rounds = [
        {name: seconds for work in works for name, seconds in work(settings).items()}
        for _ in range(1 + repeats)
    ]
    medians = {name: median(found[name] for found in rounds if name in found) for name in first}
    return {"first round": first, "medians": medians}


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints and writes JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default="small", help="a name, or a model's folder")
    parser.add_argument("--preset", default="standard")
    add_options(parser)
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = {"prompt": "a red mug", "model": arguments.model, "preset": arguments.preset}
    found = measure(WORKS, settings, arguments.repeats)
    log.info("%-20s %10s  %s", "seconds", "first", f"median of {arguments.repeats}")
    for name, seconds in found["first round"].items():
        log.info("%-20s %10.2f  %.2f", name, seconds, found["medians"][name])
    finish(arguments, {"settings": settings, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
