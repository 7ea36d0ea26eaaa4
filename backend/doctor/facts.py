# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found out about a machine, and what is wrong with it. Sizes are in bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

TEMPORARY = "Temporary files"
"""Title of the place that nothing works without."""


@dataclass(frozen=True)
class Computer:
    """The machine and the Python this runs in. cores: that may be used; ram_free: without swapping."""

    system: str
    machine: str
    processor: str
    cores: int
    ram_total: int
    ram_free: int
    python: tuple[int, int, int]
    executable: str
    backend: str


@dataclass(frozen=True)
class Card:
    """A graphics card as the system sees it, torch or no torch. Sizes are 0 where nothing tells them."""

    maker: Literal["NVIDIA", "AMD", "Apple"]
    name: str
    driver: str = ""
    memory: int = 0
    free: int = 0


@dataclass(frozen=True)
class Device:
    """A device as PyTorch sees it.

    Args:
        name: "cuda:0", "mps".
        capability: NVIDIA's compute capability "8.9", or AMD's architecture "gfx1100".
        built_for: whether this PyTorch has code for it.
        precision: what the published model would run in: "bf16", "fp16" or "fp32".
    """

    name: str
    title: str
    memory: int
    free: int
    capability: str
    built_for: bool
    precision: str


@dataclass(frozen=True)
class Torch:
    """PyTorch.

    Args:
        cuda, hip: what it is built for; empty where it is not.
        complaint: why it does not see a GPU that it is built for, in its own words.
    """

    version: str
    cuda: str = ""
    hip: str = ""
    cudnn: str = ""
    devices: tuple[Device, ...] = ()
    complaint: str = ""


@dataclass(frozen=True)
class Package:
    """One the backend needs. version: None where it is missing; error: why it does not import, else empty."""

    name: str
    version: str | None
    wanted: str
    error: str = ""


@dataclass(frozen=True)
class Encoding:
    """A way to store the radiance field. reason: why it is not usable, else empty."""

    name: str
    usable: bool
    reason: str = ""


@dataclass(frozen=True)
class Model:
    """An installed model, or one that could be. damage: what is wrong with one that is there."""

    name: str
    title: str
    image_size: int = 0
    folder: str = ""
    damage: str = ""


@dataclass(frozen=True)
class Place:
    """A folder that the backend writes to. error: why it can't, else empty."""

    title: str
    path: str
    free: int
    error: str = ""


@dataclass(frozen=True)
class Facts:
    """All of it. torch: None where it is missing or broken; encoding: the one a job would use."""

    computer: Computer
    cards: tuple[Card, ...]
    torch: Torch | None
    packages: tuple[Package, ...]
    encodings: tuple[Encoding, ...]
    encoding: str
    models: tuple[Model, ...]
    not_installed: tuple[Model, ...]
    places: tuple[Place, ...]

    @property
    def device(self) -> Device | None:
        """The GPU a job would use, if any."""
        devices = self.torch.devices if self.torch else ()
        return next((device for device in devices if device.built_for), None)


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Args:
        severity: "error": nothing works before it is mended; "warning": it works, less well.
        what: the sentence that says it.
        remedy: the sentence that says what to do.
    """

    severity: Literal["error", "warning"]
    what: str
    remedy: str


@dataclass(frozen=True)
class Report:
    """What the doctor found."""

    facts: Facts
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """Whether an object could be made here."""
        return not any(problem.severity == "error" for problem in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        problems = [asdict(problem) for problem in self.problems]
        device = self.facts.device
        name = device.name if device else "cpu"
        return {"usable": self.usable, "device": name, "problems": problems, **asdict(self.facts)}
