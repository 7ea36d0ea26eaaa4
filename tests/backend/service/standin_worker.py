# SPDX-License-Identifier: GPL-3.0-or-later
"""The real worker with stand-ins for the pipeline and the views: the service's tests need no model, no torch.

The prompt says what it does: "mug" works, the other words misbehave in the way they name.
"""

import errno
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

from backend.errors import Cancelled, UserError
from backend.progress import Progress
from backend.service import worker
from backend.settings import GenerateSettings
from backend.views_settings import ViewsSettings

STEPS = 1000


def generate(
    settings: GenerateSettings,
    folder: Path,
    report: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> None:
    """Same signature as `backend.pipeline.generate`."""
    behaviour = {
        "endless": lambda: _endless(folder, report, cancelled),
        "stubborn": lambda: _stubborn(folder, report),
        "killed": lambda: os.kill(os.getpid(), 9),
        "crash": lambda: _crash(),
        "full": lambda: _raise(OSError(errno.ENOSPC, "No space left on device")),
        "hungry": lambda: _raise(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")),
        "mistake": lambda: _raise(UserError("The colour is wrong.")),
        "chatty": lambda: _chatty(),
    }
    for word, act in behaviour.items():
        if word in settings.prompt:
            act()
    for step in range(1, 4):
        (folder / "preview.png").write_bytes(b"picture %d" % step)
        report(Progress("distil", step, 3, step / 4, 1.5, "Shaping", "preview.png"))
    (folder / "mesh.glb").write_bytes(b"glTF")
    (folder / "secret.txt").write_text("not a result")


def sample_views(
    settings: ViewsSettings,
    folder: Path,
    report: Callable[[Progress], None],
    cancelled: Callable[[], bool],
) -> None:
    """Same signature as `backend.views.sample_views`."""
    if "endless" in settings.prompt:
        _endless(folder, report, cancelled)
    for done in range(1, settings.count + 1):
        (folder / "views.png").write_bytes(b"views %d" % done)
        report(Progress("sample", done, settings.count, done / settings.count, None, "Sampling", "views.png"))


def _endless(folder: Path, report: Callable[[Progress], None], cancelled: Callable[[], bool]) -> None:
    checkpoint = folder / "checkpoint.json"
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0
    _note(folder / "started_at.json", first)
    _note(folder / "pid.json", os.getpid())
    for step in range(first + 1, STEPS):
        if cancelled():
            raise Cancelled
        _note(checkpoint, step)
        report(Progress("distil", step, STEPS, step / STEPS, None, f"from {first}"))
        time.sleep(0.02)


def _stubborn(folder: Path, report: Callable[[Progress], None]) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    _note(folder / "child.json", child.pid)
    report(Progress("distil", message="Ignoring you"))
    time.sleep(120)


def _note(path: Path, number: int) -> None:
    """For the test to read at any time: never half written."""
    beside = path.with_suffix(".tmp")
    beside.write_text(str(number))
    beside.replace(path)


def _crash() -> None:
    sys.stderr.write("Fatal: the frobnicator is upside down\n")
    sys.stderr.flush()
    os._exit(3)


def _chatty() -> None:
    print("progress 50 %")  # noqa: T201 - what libraries do
    os.write(1, b'{"type":"error","message":"forged"}\n')


def _raise(error: Exception) -> None:
    raise error


if __name__ == "__main__":
    pipeline = types.ModuleType("backend.pipeline")
    pipeline.generate = generate  # type: ignore[attr-defined]
    sys.modules["backend.pipeline"] = pipeline
    views = types.ModuleType("backend.views")
    views.sample_views = sample_views  # type: ignore[attr-defined]
    sys.modules["backend.views"] = views
    worker.ORPHAN_GRACE = 1.0
    worker.USUAL_IMPORTS = ()  # they need torch
    sys.exit(worker.main(sys.argv[1:]))
