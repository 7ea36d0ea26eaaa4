# SPDX-License-Identifier: GPL-3.0-or-later
"""What the output of an installation says: how far it is, and why it failed. Never imports bpy."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class InstallProgress:
    """How far an installation is. `fraction` is that of the file being fetched, None between files."""

    message: str = "Preparing"
    fraction: float | None = None

    def read(self, output: str) -> bool:
        """Take over what pip's output says. True where something changed."""
        changed = False
        for line in output.splitlines():
            bar = _RAW.match(line)
            if bar and int(bar[2]):
                self.fraction = int(bar[1]) / int(bar[2])
            elif line.strip().startswith(_TELLING):
                self.message, self.fraction = line.strip()[:100], None
            else:
                continue
            changed = True
        return changed


Report = Callable[[InstallProgress], None]

_RAW = re.compile(r"^Progress (\d+) of (\d+)\s*$")
_TELLING = ("Collecting ", "Downloading ", "Installing ", "Building ", "Using cached ", "Successfully ")
# pip's last words where an index is unreachable or lacks the package, without and with constraints in the
# user's configuration, and where the index refuses the file.
_NOT_THERE = ("No matching distribution found", "ResolutionImpossible", "HTTP error 4")
_NO_NETWORK = ("NameResolutionError", "Failed to establish", "getaddrinfo", "ProxyError")


def is_not_there(tail: str) -> bool:
    """Whether pip failed since an index does not have the package, or not for us."""
    return any(sign in tail for sign in _NOT_THERE)


def reason(tail: str, base_python: Path) -> str:
    """Why an installation failed, from the end of its log, as a sentence."""
    if "No space left" in tail or "not enough space" in tail:
        return "The disk became full while the backend was installed."
    if any(sign in tail for sign in _NO_NETWORK):
        return "The package index can't be reached: check the network, then install again."
    if "WinError 206" in tail or "Enable Long Path" in tail:
        return "Windows allows no path this long: switch on LongPathsEnabled, then install again."
    if "ensurepip" in tail:
        return f"{base_python} can't make environments: python3-venv is missing (so Debian calls it)."
    return "The installation of the backend failed."
