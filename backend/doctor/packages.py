# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages the backend needs: whether they are there, which versions, and whether they import."""

from __future__ import annotations

import importlib
import json
import re
import sys
from importlib import metadata
from pathlib import Path

from backend.doctor.facts import Package
from backend.doctor.probing import ROOT, ask

# Distribution and the module that is used: the outermost one often imports though the package is broken.
NEEDED = {
    "torch": "torch.nn.functional",
    "diffusers": "diffusers.models.unets.unet_2d_condition",
    "transformers": "transformers.models.clip.modeling_clip",
    "tokenizers": "tokenizers",
    "ftfy": "ftfy",
    "regex": "regex",
    "safetensors": "safetensors.torch",
    "numpy": "numpy",
    "scipy": "scipy.ndimage",
    "scikit-image": "skimage.measure",
    "xatlas": "xatlas",
    "fast-simplification": "fast_simplification",
    "pillow": "PIL.Image",
    "PyYAML": "yaml",
    "pydantic": "pydantic",
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "huggingface_hub": "huggingface_hub",
}
LIST = ROOT / "requirements" / "backend.txt"


def examine_packages() -> tuple[Package, ...]:
    """Every needed package, imported once in a child process."""
    pins = read_pins(LIST)
    versions = {name: _version(name) for name in NEEDED}
    errors = _import_errors([name for name, version in versions.items() if version is not None])
    return tuple(
        Package(name, version, pins.get(normal(name), ""), errors.get(name, ""))
        for name, version in versions.items()
    )


def read_pins(path: Path) -> dict[str, str]:
    """The versions in a list of requirements by normal name; empty where there is no such list."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return {}
    return {normal(name): pin for name, pin in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)}


def normal(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(names: list[str]) -> None:
    """In the child: imports each and prints [name, error] for each as it goes."""
    for name in names:
        sys.stdout.write(json.dumps([name, None]) + "\n")
        sys.stdout.flush()
        sys.stdout.write(json.dumps([name, _try(NEEDED[name])]) + "\n")
        sys.stdout.flush()


def _try(module: str) -> str:
    try:
        importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001 - whatever a broken package raises is what is asked for
        last = str(error).strip().splitlines()
        return f"{type(error).__name__}: {last[-1] if last else ''}".rstrip(": ")[:300]
    return ""


def _import_errors(names: list[str]) -> dict[str, str]:
    """Errors by name. A package that takes the child down is noted, and the rest are tried without it."""
    errors: dict[str, str] = {}
    while names:
        answer = ask("backend.doctor.packages", *names)
        said = [(name, error) for name, error in answer.values if error is not None]
        errors.update({name: error for name, error in said if error})
        if not answer.error or not answer.values:
            break
        culprit = answer.values[-1][0]
        errors[culprit] = answer.error
        names = names[names.index(culprit) + 1 :]
    return errors


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
    except (OSError, ValueError, KeyError):
        return ""  # it is there, and its metadata is damaged
