# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes progress out of what pip says."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

# Shares of the whole: looking for packages, fetching them; the rest is unpacking.
_LOOKING, _FETCHING = 0.15, 0.55
_FILE = re.compile(
    r"\s*(?:Downloading|Using cached) (?:\S*/)?(?P<name>[^\s/]+?)-\d[^\s/]*(?P<kind>\.\w+)"
    r"(?: \((?P<size>[^)]+)\))?"
)
_RAW = re.compile(r"Progress (\d+) of (\d+)")


class InstallerOutput:
    """Takes pip's output line by line and says how far it is. The fraction never goes back."""

    def __init__(
        self, lock_files: Iterable[Path], folder: Path, show: Callable[[str, float | None], None]
    ) -> None:
        """
        Args:
            lock_files: what is being installed; tells how many packages.
            folder: the environment that it goes into.
            show: gets a sentence and a fraction of the whole.
        """
        self._total = max(1, sum(count_pins(file.read_text(encoding="utf-8")) for file in lock_files))
        self._folder = folder
        self._show = show
        self._text = ""
        self._unpacking = 0
        self._looked = 0
        self._fetched = 0
        self._name = ""
        self._fraction = 0.0

    def line(self, line: str) -> None:
        """Takes one line of what pip writes with `--progress-bar raw`."""
        if line.startswith("Collecting "):
            self._looked += 1
            self._tell(f"looking for {re.split('[=<>;~! ]', line[11:])[0].strip()}")
        elif raw := _RAW.match(line):
            done, size = int(raw[1]), int(raw[2])
            # Smaller files are over before anybody has read the line.
            if self._name and size > 2**20:
                self._tell(f"fetching {self._name}, {done / 2**20:.0f} of {size / 2**20:.0f} MB", done / size)
        elif named := _FILE.match(line):
            if named["kind"] == ".metadata":
                self._name = ""
                return
            self._fetched += 1
            self._name = named["name"]
            self._tell(f"fetching {self._name}" + (f" ({named['size']})" if named["size"] else ""))
        elif line.startswith("Installing collected packages"):
            self._looked = self._fetched = self._total
            self._unpacking = line.count(",") + 1
            self._tell(f"unpacking {self._unpacking} packages", 1.0)

    def idle(self) -> None:
        """Called while pip says nothing: it unpacks for a minute without a word, but that can be counted."""
        if self._unpacking:
            done = sum(1 for _ in self._packages().glob("*.dist-info"))
            unpacked = min(1.0, done / self._unpacking)
            self._fraction = max(self._fraction, _LOOKING + _FETCHING + (1 - _LOOKING - _FETCHING) * unpacked)
        if self._text:
            self._show(self._text, self._fraction)

    def _packages(self) -> Path:
        found = [*self._folder.glob("lib/python*/site-packages"), self._folder / "Lib" / "site-packages"]
        return found[0]

    def _tell(self, text: str, part: float = 0.0) -> None:
        looked = min(1.0, self._looked / self._total)
        fetched = min(1.0, max(0.0, self._fetched - 1 + part) / self._total)
        self._fraction = max(self._fraction, _LOOKING * looked + _FETCHING * fetched)
        self._text = text
        self._show(text, self._fraction)


def count_pins(text: str) -> int:
    """Packages in a lock file."""
    return sum(bool(re.match(r"[A-Za-z0-9]", line)) for line in text.splitlines())
