# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in Blender's Python: installs the extension, calls its operator, renders the object.

Standard output gets what Blender says; standard error, the terminal, gets the progress bar and nothing else.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

ADDON = "bl_ext.user_default.mvdream_blender"


class Interrupted(Exception):
    """Ctrl-C. Not KeyboardInterrupt: Blender would print that, with a traceback."""


def main(task_file: str) -> int:
    """Carries out a task; the report file gets its seconds, or what went wrong."""
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    terminal = _quieten()
    interrupted = _heed_interrupts()
    report: dict[str, object] = {"error": None, "seconds": {}}
    try:
        report["seconds"] = _carry_out(task, terminal, interrupted)
        code = 0
    except Exception as error:  # noqa: BLE001 (whatever it is, the report tells)
        if interrupted:
            code = 130
        else:
            report["error"] = _sentence(error)
            code = 2
    finally:
        _disable()
    Path(task["report"]).write_text(json.dumps(report), encoding="utf-8")
    return code


def _carry_out(task: dict[str, Any], terminal: TextIO, interrupted: list[int]) -> dict[str, float]:
    """The story. Returns the seconds of its stages."""
    from stopwatch import Stopwatch

    start = time.monotonic()
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.extensions.package_install_files(
        filepath=task["package"], repo="user_default", enable_on_install=True
    )
    if not hasattr(bpy.types, "MVDREAM_OT_generate"):
        raise RuntimeError("The extension was installed but did not register in Blender.")
    watch = Stopwatch(ADDON, terminal, lambda: bool(interrupted))
    seconds = {"Blender": time.monotonic() - start}

    sys.stderr = watch
    try:
        bpy.ops.mvdream.generate(prompt=task["prompt"], seed=task["seed"], preset=task["preset"])
    finally:
        sys.stderr = sys.__stderr__
    generated = bpy.context.view_layer.objects.active
    seconds |= watch.stages()

    start = time.monotonic()
    _save(generated, Path(task["out"]))
    seconds["pictures"] = time.monotonic() - start
    return seconds


def _save(generated: Any, out: Path) -> None:
    """Writes the results beside their places, then puts all of them there."""
    import bpy
    from turnaround import render_turnaround, set_up_stage

    addon = sys.modules[ADDON]
    mesh = addon.mesh_file(generated)
    if mesh is None:
        raise RuntimeError("The mesh that the object was made from is gone.")
    fresh = out / f".new-{os.getpid()}"
    fresh.mkdir(exist_ok=True)
    try:
        shutil.copyfile(mesh, fresh / "mesh.glb")
        stage = set_up_stage(generated)
        render_turnaround(generated, stage, fresh / "turnaround.png")
        bpy.context.view_layer.objects.active = generated
        bpy.ops.wm.save_as_mainfile(filepath=str(fresh / "scene.blend"), compress=True, check_existing=False)
        for file in sorted(fresh.iterdir()):
            file.replace(out / file.name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _quieten() -> TextIO:
    """From here on, what Blender's own code writes goes to standard output's log; returns the terminal."""
    terminal = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    os.dup2(1, 2)
    return terminal


def _heed_interrupts() -> list[int]:
    """The first Ctrl-C cancels the job, and more of them don't disturb that; the list then is not empty."""
    seen: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        if not seen:
            seen.append(number)
            raise Interrupted

    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), interrupt)
    return seen


def _disable() -> None:
    """Ends the backend, too."""
    try:
        import bpy

        bpy.ops.preferences.addon_disable(module=ADDON)
    except Exception as error:  # noqa: BLE001 (the caller looks for what is left)
        sys.stdout.write(f"The add-on was not disabled: {error}\n")


def _sentence(error: Exception) -> str:
    """What an operator reports comes as a RuntimeError with "Error: " before each line."""
    if isinstance(error, OSError) and error.strerror:
        where = error.filename2 or error.filename or "the disk"
        return f"The result can't be written to {where}: {error.strerror}. Make room or choose another --out."
    text = str(error).strip() or type(error).__name__
    lines = [line.removeprefix("Error: ").rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line)


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    # Blender 4.2 and 4.5 may crash while the interpreter tidies up after them.
    os._exit(code)
