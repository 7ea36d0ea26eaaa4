# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m backend.service.worker JOBDIR`: does the job in JOBDIR/job.json and tells about it.

With `--wait` instead of JOBDIR it imports what jobs need, and reads JOBDIR from the first line of its
standard input (see `backend.service.spare`).

It writes one JSON object a line on standard output (see `backend.service.messages`). It stops when it is
asked to (SIGTERM, or the end of its standard input) and when its server dies (the same end of input); if the
job does not notice in time the process ends itself, so no worker outlives its server for long. What was done
since the last checkpoint is lost then.
"""

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from backend.errors import Cancelled, UserError
from backend.gpu_memory import keep_little
from backend.progress import Progress
from backend.service import failures, files
from backend.service.locks import FileLock
from backend.service.spare import WAIT
from backend.threads import lower_priority, share_cores

log = logging.getLogger(__name__)

EXIT_FAILED = 1
EXIT_STOPPED = 130
ORPHAN_GRACE = 5.0  # seconds to come to an end after the server went away
PREDECESSOR_WAIT = 20.0  # seconds for the worker of a server that was killed to be gone
REPORT_INTERVAL = 0.1  # seconds between two reports that say nothing new but a number
USUAL_IMPORTS = (
    "backend.pipeline",
    "backend.distillation",
    "backend.start.views",
    "backend.diffusion.storage",
    "backend.diffusion.lean.unet",
    "backend.diffusion.lean.autoencoder",
    "backend.diffusion.lean.text_model",
    "backend.diffusion.lean.tiny_encoder",
    "backend.diffusion.fast.fusing",
    "backend.mesh",
)
"""What takes long, for a spare to import. Without them a job imports the same by and by."""
KERNEL_IMPORTS = (
    "backend.diffusion.fast.launching",
    "backend.radiance.hash_grid_triton",
    "backend.radiance.fused.trial",
    "backend.radiance.fused.rendering",
)
"""What a GPU's jobs want besides, where there is Triton."""
GRADIENT_IMPORTS = ("torch.fx.experimental.symbolic_shapes",)
"""What PyTorch imports for gradients of several numbers, as captures of graphs ask for them: seconds."""


class Channel:
    """The way to the server. Taken from everybody else: what libraries print goes to standard error."""

    def __init__(self) -> None:
        self._output: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
        os.dup2(2, 1)
        self._last = ("", 0.0)

    def send(self, kind: str, **values: Any) -> bool:
        """Sends one message; False when nobody listens any more."""
        try:
            self._output.write(json.dumps({"type": kind, **values}) + "\n")
            self._output.flush()
        except BrokenPipeError:
            return False
        return True

    def report(self, progress: Progress) -> None:
        """Sends a report, unless one that says the same has just been sent and this one brings no picture.

        The same: of the same stage, its message beginning with the same word ("Downloading 1.2 of 5.2 GB").

        Raises:
            Cancelled: nobody listens any more.
        """
        said, sent = self._last
        saying = f"{progress.stage} {progress.message.partition(' ')[0]}"
        complete = progress.steps > 0 and progress.step == progress.steps
        nothing_new = saying == said and not complete and not progress.preview
        if nothing_new and time.monotonic() - sent < REPORT_INTERVAL:
            return
        self._last = (saying, time.monotonic())
        if not self.send("progress", **asdict(progress)):
            raise Cancelled


def main(arguments: list[str]) -> int:
    """Does the job in the folder `arguments[0]`, or the one it is told of later; returns the exit code."""
    share_cores()
    keep_little()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    _offer_for_the_kill()
    channel = Channel()
    if arguments[0] == WAIT:
        folder = _await_folder()
        _complain_in(folder / files.LOG_FILE)
    else:
        folder = Path(arguments[0])
    stop = threading.Event()
    kind = ""
    threading.Thread(target=_end_with_the_server, args=(stop,), daemon=True).start()
    try:
        claim = _claim(folder)
        job = json.loads((folder / files.JOB_FILE).read_text(encoding="utf-8"))
        kind = job["kind"]
        if kind not in _KINDS:
            raise UserError(f"This version knows no job of kind {kind!r}. Update the backend.")
        _KINDS[kind](job["settings"], folder, channel, stop)
        channel.send("done", files=files.results(folder))
        claim.release()
    except (Cancelled, KeyboardInterrupt):
        return EXIT_STOPPED
    except UserError as error:
        # What the user got wrong stays wrong; with something to go on from, the surroundings may be at fault.
        channel.send("error", message=str(error), resumable=_is_worth_resuming(folder, kind))
        return EXIT_FAILED
    except Exception as error:
        log.exception("The job failed")
        channel.send("error", message=failures.explain_exception(error, folder, kind))
        return EXIT_FAILED
    return 0


def _generate(settings: dict[str, Any], folder: Path, channel: Channel, stop: threading.Event) -> None:
    channel.report(Progress("load", message="Loading the model"))
    from backend import pipeline
    from backend.settings import GenerateSettings

    # Until here SIGTERM ends the process at once: importing torch takes seconds and has nothing to save.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    checked = GenerateSettings.from_values(settings)
    pipeline.generate(checked, folder, report=channel.report, cancelled=stop.is_set)


def _views(settings: dict[str, Any], folder: Path, channel: Channel, stop: threading.Event) -> None:
    channel.report(Progress("load", message="Loading the model"))
    from backend import views
    from backend.views_settings import ViewsSettings

    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    checked = ViewsSettings.from_values(settings)
    views.sample_views(checked, folder, report=channel.report, cancelled=stop.is_set)


def _download(settings: dict[str, Any], folder: Path, channel: Channel, stop: threading.Event) -> None:
    from backend import downloading
    from backend.download_settings import DownloadSettings

    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    checked = DownloadSettings.from_values(settings)
    downloading.download_model(checked, channel.report, stop.is_set)


_KINDS: dict[str, Callable[[dict[str, Any], Path, Channel, threading.Event], None]] = {
    "generate": _generate,
    "views": _views,
    "download": _download,
}


def _await_folder() -> Path:
    """Imports, then waits for the folder of a job. Where the server goes away instead, the process ends."""
    helper = threading.Thread(target=_import_the_usual)
    helper.start()
    line = b""
    while not line.endswith(b"\n"):
        # Byte by byte: what comes after the line, the end of the input, is for another reader.
        if not (read := os.read(0, 1)):
            os._exit(EXIT_STOPPED)  # in the midst of an import that nobody needs any more
        line += read
    helper.join()
    return Path(json.loads(line))


def _import_the_usual() -> None:
    """In a thread of its own, whose low priority ends with it; what libraries start meanwhile keeps it."""
    lower_priority()
    _import(USUAL_IMPORTS)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        _import(GRADIENT_IMPORTS)
        if importlib.util.find_spec("triton"):
            _import(KERNEL_IMPORTS)


def _import(names: Sequence[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            log.exception("%s could not be imported in advance", name)


def _complain_in(path: Path) -> None:
    """From here on standard error, and what others print, goes to the end of a file."""
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
        os.dup2(file.fileno(), 1)


def _is_worth_resuming(folder: Path, kind: str) -> bool:
    """Of a job that was refused with a sentence: with something to go on from, or from a network."""
    return kind == "download" or any(folder.glob("checkpoint*"))


def _claim(folder: Path) -> FileLock:
    """Waits for a worker of this job that was left over when its server was killed."""
    claim = FileLock(folder / files.LOCK_FILE)
    if not claim.acquire(wait=PREDECESSOR_WAIT):
        raise UserError("Another process still works on this job. End it, or wait, and resume the job.")
    return claim


def _offer_for_the_kill() -> None:
    """When memory runs out, Linux shall end this process and not the user's Blender."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _end_with_the_server(stop: threading.Event) -> None:
    """Waits for the end of standard input, asks the job to stop, and after a grace ends the process group."""
    # Not sys.stdin: a thread that waits in it makes the interpreter's own end fail.
    while os.read(0, 4096):
        pass
    stop.set()
    time.sleep(ORPHAN_GRACE)
    log.error("The job did not stop when it was asked to")
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(EXIT_STOPPED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
