# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a user waits before anything happens: `python -m benchmarks.service`.

Seconds until `--help` has printed, until the service answers, and until a job of the shipped model has taken
its first step (imports and loading the model; files are in the page cache after the first round).
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BACKEND = [sys.executable, "-m", "backend"]
LONGEST = 120.0
STEP = re.compile(r"Shaping the object [1-9]\d*/")

log = logging.getLogger(__name__)


def help_seconds() -> float:
    """Seconds of `python -m backend --help`."""
    start = time.perf_counter()
    subprocess.run([*BACKEND, "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def service_seconds() -> float:
    """Seconds until a fresh service has answered."""
    with tempfile.TemporaryDirectory() as folder:
        announcement = Path(folder) / "service.json"
        start = time.perf_counter()
        command = [*BACKEND, "serve", "--data-dir", folder]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            while not announcement.is_file():
                if process.poll() is not None or time.perf_counter() - start > LONGEST:
                    raise RuntimeError("the service did not start")
                time.sleep(0.005)
            where = json.loads(announcement.read_text())
            request = urllib.request.Request(
                f"{where['url']}/v1/health", headers={"Authorization": f"Bearer {where['token']}"}
            )
            urllib.request.urlopen(request, timeout=10).close()
            return time.perf_counter() - start
        finally:
            process.terminate()
            process.wait()


def first_step_seconds() -> float:
    """Seconds until a job on the command line reports a step; it reports a few times a second."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [*BACKEND, "generate", "a red mug", "--model", "small", "-o", str(Path(folder) / "mug.glb")]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if STEP.search(line):
                    return time.perf_counter() - start
            raise RuntimeError("the job took no step")
        finally:
            process.terminate()
            process.wait()


def main() -> int:
    """Measures, prints and writes JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    works = {"help": help_seconds, "service": service_seconds, "first step": first_step_seconds}
    found = {}
    for name, work in works.items():
        work()
        found[name] = median(work() for _ in range(arguments.repeats))
        log.info("%-10s %.2f s", name, found[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
