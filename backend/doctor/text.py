# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's report for a person."""

from __future__ import annotations

from collections.abc import Iterator

from backend.doctor.facts import Device, Facts, Package, Report

WIDTH = 16
SHOWN_PACKAGES = ("torch", "diffusers", "transformers", "safetensors")


def render(report: Report) -> str:
    """Lines of text: the verdict, the problems, then everything that was found."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    facts = report.facts
    yield _verdict(report)
    for problem in report.problems:
        yield ""
        yield f"{'Error' if problem.severity == 'error' else 'Warning'}: {problem.what}"
        yield f"  What to do: {problem.remedy}"
    yield ""
    yield from _devices(facts)
    yield from _computer(facts)
    yield from _software(facts)
    yield from _contents(facts)


def _verdict(report: Report) -> str:
    version = f"MVDream for Blender, backend {report.facts.computer.backend}"
    if not report.usable:
        return f"{version}: not usable yet, see below."
    device = report.facts.device
    where = (
        f"on {device.title} ({device.name}) in {device.precision}" if device else "on the processor in fp32"
    )
    return f"{version}: ready. Jobs run {where}."


def _devices(facts: Facts) -> Iterator[str]:
    torch = facts.torch
    for device in torch.devices if torch else ():
        yield _row(device.name, _device(device))
    for card in facts.cards:
        if not (torch and torch.devices):
            size = f", {_size(card.free)} of {_size(card.memory)} free" if card.memory else ""
            yield _row("Graphics card", f"{card.name}{size} (not used)")
    drivers = sorted({card.driver for card in facts.cards if card.driver})
    if drivers:
        yield _row("Driver", ", ".join(drivers))


def _device(device: Device) -> str:
    capability = f", {device.capability}" if device.capability else ""
    free = f"{_size(device.free)} of {_size(device.memory)} free"
    use = device.precision if device.built_for else "not supported by this PyTorch"
    return f"{device.title}{capability}, {free}, {use}"


def _computer(facts: Facts) -> Iterator[str]:
    computer = facts.computer
    yield _row("Processor", f"{computer.processor}, {computer.cores} core{'s' * (computer.cores != 1)}")
    yield _row("Memory", f"{_size(computer.ram_free)} of {_size(computer.ram_total)} free")
    for place in facts.places:
        yield _row(place.title, f"{place.error or _size(place.free) + ' free'} at {place.path}")
    yield _row("System", f"{computer.system} ({computer.machine})")


def _software(facts: Facts) -> Iterator[str]:
    version = ".".join(str(part) for part in facts.computer.python)
    yield _row("Python", f"{version}, {facts.computer.executable}")
    torch = facts.torch
    if torch:
        builds = {"CUDA": torch.cuda, "ROCm": torch.hip, "cuDNN": torch.cudnn}
        built = ", ".join(f"{name} {number}" for name, number in builds.items() if number)
        yield _row(
            "PyTorch", f"{torch.version}, {'built for ' + built if built else 'built for processors only'}"
        )
    for package in facts.packages:
        if package.name in SHOWN_PACKAGES[1 if torch else 0 :]:
            yield _row(package.name, _package(package))


def _package(package: Package) -> str:
    if package.version is None:
        return "missing"
    broken = ", does not start" if package.error else ""
    differs = package.wanted and package.version.split("+")[0] != package.wanted
    return f"{package.version}{f' (tested with {package.wanted})' if differs else ''}{broken}"


def _contents(facts: Facts) -> Iterator[str]:
    others = [
        f"{found.name}: {found.reason}" for found in facts.encodings if found.reason.startswith("installed")
    ]
    yield _row("Field encoding", facts.encoding + (f" ({'; '.join(others)})" if others else ""))
    names = [f"{model.name} ({model.image_size} pixels)" for model in facts.models]
    yield _row("Models", ", ".join(names) or "none")
    for state, found in (
        ("not installed", [model.name for model in facts.not_installed if not model.damage]),
        ("damaged", [model.name for model in facts.not_installed if model.damage]),
    ):
        if found:
            yield _row("", f"{state}: {', '.join(found)}")


def _row(title: str, value: str) -> str:
    return f"{title:{WIDTH}} {value}".rstrip()


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
