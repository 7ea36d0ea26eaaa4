# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the extension: collects its files, lets Blender's own tool pack and validate them."""

import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from building import children
from building.errors import BuildError
from building.layout import DIST, MANIFEST, ROOT, manifest

# What of the checkout goes where in the zip; a folder's files go below it.
CONTENTS = {
    "mvdream_blender": "",
    "blender_manifest.toml": "blender_manifest.toml",
    "LICENSE": "LICENSE",
    "backend": "backend",
    "requirements/backend.txt": "requirements/backend.txt",
    "requirements/pip.txt": "requirements/pip.txt",  # the add-on makes its environment with this pip
}
_LEFT_OUT = ("__pycache__", ".pyc", ".new", ".tmp", ".swp", "~", ".DS_Store")
# The earliest that a zip can hold, for all files: the same sources give the same zip, byte by byte.
_DATE = (1980, 1, 1, 0, 0, 0)


def build(blender_python: Path, folder: Path = DIST) -> Path:
    """Builds and validates `mvdream_blender-<version>.zip` in `folder` and returns its path.

    Args:
        blender_python: the Python of one of the Blender environments, which bring the tool.

    Raises:
        BuildError: a part is missing, the folder can't be written, or the tool refuses; with what it said.
    """
    tool = _tool(blender_python)
    name = f"{manifest()['id']}-{manifest()['version']}.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="mvdream-zip-") as scratch, _beside(folder / name) as beside:
            staged, packed = Path(scratch, "staged"), Path(scratch, name)
            _stage(staged)
            _run_tool(blender_python, tool, "build", "--source-dir", staged, "--output-filepath", packed)
            _write_alike(packed, beside)
            _run_tool(blender_python, tool, "validate", beside)
            beside.replace(folder / name)
    except OSError as error:
        raise BuildError(f"{folder / name} can't be written: {error.strerror or error}.") from None
    return folder / name


def files() -> Iterator[tuple[Path, str]]:
    """All files that belong into the zip, with their names there.

    Raises:
        BuildError: a part is missing in the checkout.
    """
    for source, target in CONTENTS.items():
        path = ROOT / source
        if path.is_file():
            yield path, target
            continue
        if not path.is_dir():
            raise BuildError(f"{path} is missing: is the checkout complete?")
        for file in sorted(path.rglob("*")):
            relative = file.relative_to(path)
            if file.is_file() and not any(part.endswith(_LEFT_OUT) for part in relative.parts):
                yield file, (Path(target) / relative).as_posix()


def _stage(folder: Path) -> None:
    for source, target in files():
        place = folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


def _write_alike(packed: Path, target: Path) -> None:
    """The same content in the order of its names, with one date and no traces of this machine."""
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(target, "w") as result:
        for name in sorted(source.namelist()):
            if name.endswith("/"):
                continue
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            result.writestr(info, source.read(name), compresslevel=9)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A file name beside `target`, with its ending; what is left there is removed."""
    path = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _tool(blender_python: Path) -> Path:
    environment = blender_python.parents[1]
    pattern = "bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
    for packages in ("lib/python*/site-packages/", "Lib/site-packages/"):
        for tool in environment.glob(packages + pattern):
            return tool
    raise BuildError(
        f"There is no Blender in {environment}: make it anew with `python3 build.py env --again`."
    )


def _run_tool(python: Path, tool: Path, *arguments: str | Path) -> None:
    command = [str(python), str(tool), *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=children.environment(),
    )
    said = (done.stdout + done.stderr).strip()
    # It says what is wrong with a manifest and yet ends with 0 in some versions.
    if done.returncode or "FATAL_ERROR" in said.upper() or "ERROR:" in said.upper():
        raise BuildError(
            f"Blender's extension tool refuses the extension ({arguments[0]}, see {MANIFEST.name}):\n{said}"
        )
