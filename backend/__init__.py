# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTorch backend: MVDream score distillation, mesh extraction, training, job service. Never imports bpy."""

__version__: str


def __getattr__(name: str) -> str:
    """`__version__`, read when it is asked for: what is imported here, Ctrl-C would end with a traceback."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    version = globals()[name] = _version()
    return version


def _version() -> str:
    """The version in blender_manifest.toml, which is one folder up in a checkout and in the extension."""
    import re
    from pathlib import Path

    manifest = Path(__file__).resolve().parents[1] / "blender_manifest.toml"
    try:
        found = re.search(r'^version = "([^"]+)"', manifest.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:  # the package alone was copied somewhere
        found = None
    return found[1] if found else "0+unknown"
