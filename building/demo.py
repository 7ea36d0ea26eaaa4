# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt becomes an object in a real Blender that has never seen this project."""

import contextlib
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from building import children, extension, slugs
from building.console import duration, say
from building.environments import BACKEND, Environment
from building.errors import BuildError
from building.installation import ensure
from building.layout import OUT, ROOT
from building.leftovers import stop_backends

SCRIPT = ROOT / "building" / "in_blender" / "demo.py"
RESULTS = ("scene.blend", "mesh.glb", "turnaround.png")


def run(prompt: str, seed: int, preset: str, out: Path | None, blender: Environment) -> None:
    """Makes the object of a prompt and leaves `RESULTS` in `out`; prints where, and how long each stage took.

    Args:
        out: the folder; None: one in out/ that is named after the prompt.

    Raises:
        BuildError: what went wrong, as a sentence.
    """
    out = _prepare(out or OUT / slugs.slug(prompt))
    try:
        _make(prompt, seed, preset, out, blender)
    except BaseException:
        with contextlib.suppress(OSError):
            out.rmdir()  # an empty one tells nobody anything; one with earlier results is not empty
        raise


def _make(prompt: str, seed: int, preset: str, out: Path, blender: Environment) -> None:
    seconds: dict[str, float] = {}
    start = time.monotonic()
    backend_python, blender_python = ensure(BACKEND), ensure(blender)
    seconds["set-up"] = time.monotonic() - start
    built = time.monotonic()
    package = extension.build(blender_python)
    seconds["extension"] = time.monotonic() - built
    say(f'"{prompt}", seed {seed}, in Blender {blender.name.partition("-")[2]}')
    task = {"package": str(package), "prompt": prompt, "seed": seed, "preset": preset, "out": str(out)}
    seconds |= _in_blender(task, blender_python, backend_python)
    say(f"\n{out}")
    for name in RESULTS:
        say(f"  {name:16} {(out / name).stat().st_size / 1024:8,.0f} kB")
    say("\nTime")
    for stage, spent in seconds.items():
        say(f"  {stage:22} {duration(spent):>12}")
    say(f"  {'in all':22} {duration(time.monotonic() - start):>12}")


def _in_blender(task: dict[str, object], blender_python: Path, backend_python: Path) -> dict[str, float]:
    """Runs the script in Blender, in a profile that is thrown away; returns the seconds of its stages."""
    with tempfile.TemporaryDirectory(prefix="mvdream-demo-", ignore_cleanup_errors=True) as scratch:
        profile, log = Path(scratch, "profile"), Path(scratch, "blender.log")
        profile.mkdir()
        report = Path(scratch, "report.json")
        Path(scratch, "task.json").write_text(json.dumps(task | {"report": str(report)}), encoding="utf-8")
        surroundings = children.environment(
            {"BLENDER_USER_RESOURCES": str(profile), "MVDREAM_BACKEND_PYTHON": str(backend_python)}
        )
        command = [str(blender_python), str(SCRIPT), str(Path(scratch, "task.json"))]
        try:
            with log.open("wb") as noise:
                # Progress goes to the terminal by stderr; the script sends Blender's own words to stdout.
                code = children.run(
                    command, stdin=subprocess.DEVNULL, stdout=noise, env=surroundings, cwd=scratch
                )
        finally:
            stop_backends(profile)
        if code == 130:
            raise KeyboardInterrupt
        return _read(report, log, code)


def _read(report: Path, log: Path, code: int) -> dict[str, float]:
    try:
        result = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        if any("No space left on device" in line for line in lines):
            raise BuildError(
                f"The disk became full at {log.parent} while Blender worked: free some space, or set TMPDIR "
                "to a folder on another disk, then try again."
            ) from None
        end = "\n  ".join(lines[-15:])
        raise BuildError(
            f"Blender ended without a result (exit code {code}). Its last words:\n  {end}"
        ) from None
    if result["error"]:
        raise BuildError(result["error"])
    return dict(result["seconds"])


def _prepare(out: Path) -> Path:
    """Whether the results can be written is found out before minutes are spent on them."""
    try:
        out = out.expanduser().absolute()
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out) as probe:
            probe.write(os.urandom(1))
    except (OSError, RuntimeError) as error:  # RuntimeError: "~somebody" who is unknown
        reason = getattr(error, "strerror", None) or error
        raise BuildError(
            f"The output folder {out} can't be written: {reason}. Choose another one with --out."
        ) from None
    return out
