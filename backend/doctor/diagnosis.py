# SPDX-License-Identifier: GPL-3.0-or-later
"""From facts to problems, each with what to do about it. Pure: no look at the machine."""

from __future__ import annotations

from collections.abc import Iterator

from backend.diffusion.inspection import REMEDY
from backend.doctor.facts import TEMPORARY, Card, Device, Facts, Package, Problem, Torch

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)
GB = 10**9
LITTLE_RAM = 2 * GB
LITTLE_DISK = 2 * GB
LITTLE_CARD = 4 * GB
PUBLISHED_SIZE = 256
AGAIN = "Press Install Backend again in the add-on (in a checkout: `python3 build.py env --again backend`)."
# As the add-on's preferences call them.
COMPUTE = {"CUDA": "NVIDIA (CUDA)", "ROCm": "AMD (ROCm, Linux)"}
BUILDS = "https://pytorch.org/get-started/locally"


def diagnose(facts: Facts) -> Iterator[Problem]:
    """The problems, those of the program first, then of the graphics card, then of memory and disk."""
    yield from _python(facts)
    yield from _packages(facts.packages)
    if facts.torch is not None:
        yield from _graphics(facts, facts.torch)
    yield from _models(facts)
    yield from _memory(facts)
    yield from _disk(facts)


def _python(facts: Facts) -> Iterator[Problem]:
    version = facts.computer.python
    name = ".".join(str(part) for part in version)
    if version[:2] < OLDEST_PYTHON:
        yield Problem("error", f"Python {name} is too old: the backend needs 3.11 or newer.", AGAIN)
    elif version[:2] >= NEWEST_PYTHON:
        yield Problem(
            "warning",
            f"Python {name} is newer than any the backend was tested with (3.11 to 3.13).",
            "If something fails, use one of those.",
        )


def _packages(packages: tuple[Package, ...]) -> Iterator[Problem]:
    missing = [package.name for package in packages if package.version is None]
    if missing:
        names = "package is" if len(missing) == 1 else "packages are"
        yield Problem("error", f"The Python {names} missing: {', '.join(missing)}.", AGAIN)
    broken = [package for package in packages if package.error]
    # What stands on PyTorch fails with it, and mending that mends them.
    if any(package.name == "torch" for package in broken) or "torch" in missing:
        broken = [package for package in broken if package.name == "torch"]
    for package in broken:
        title = "PyTorch" if package.name == "torch" else f"The Python package {package.name}"
        remedy = AGAIN
        if "DLL load failed" in package.error or "c10.dll" in package.error:
            remedy = (
                "Install Microsoft's Visual C++ Redistributable "
                "(https://aka.ms/vs/17/release/vc_redist.x64.exe), then try again. If that does not help: "
                + AGAIN
            )
        yield Problem("error", f"{title} is installed but does not start: {package.error}.", remedy)


def _graphics(facts: Facts, torch: Torch) -> Iterator[Problem]:
    nvidia = [card for card in facts.cards if card.maker == "NVIDIA"]
    amd = [card for card in facts.cards if card.maker == "AMD"]
    for device in torch.devices:
        if not device.built_for:
            yield _no_code_for(device, torch)
    if torch.devices:
        yield from _small_card(facts.device)
    elif nvidia and not torch.cuda:
        yield _wrong_build(nvidia[0], "CUDA", facts, torch)
    elif amd and not nvidia and not torch.hip:
        yield _wrong_build(amd[0], "ROCm", facts, torch)
    elif nvidia or amd:
        yield _unseen((nvidia or amd)[0], torch)
    elif any(card.maker == "Apple" for card in facts.cards):
        yield Problem(
            "warning",
            "PyTorch can't use this Mac's GPU, so the processor will be used.",
            "Update macOS to version 14 or newer, then press Install Backend again.",
        )


def _no_code_for(device: Device, torch: Torch) -> Problem:
    older = "Press Install Backend again: it fetches CUDA 12.6's build for cards older than Turing. "
    return Problem(
        "warning",
        f"PyTorch {torch.version} does not support {device.title} ({device.name}, {device.capability}): "
        "the card is too old or too new for it.",
        f"{older if torch.cuda else ''}Without the card the processor or another one is used. "
        f"{BUILDS} lists all builds.",
    )


def _small_card(device: Device | None) -> Iterator[Problem]:
    if device is None or device.name == "mps":
        return
    if device.memory < LITTLE_CARD:
        yield Problem(
            "warning",
            f"{device.title} has {device.memory / GB:.1f} GB of memory: too little for the published model.",
            'Use the model "small", or choose the device cpu.',
        )
    elif device.free < LITTLE_CARD:
        yield Problem(
            "warning",
            f"Only {device.free / GB:.1f} of {device.memory / GB:.1f} GB of {device.title} are free.",
            "Close other programs that use the card; in Blender, leave the rendered viewport.",
        )


def _wrong_build(card: Card, wanted: str, facts: Facts, torch: Torch) -> Problem:
    there = f"{'CUDA ' + torch.cuda if torch.cuda else 'processors only'}"
    seen = f"{card.name}" + (f", driver {card.driver}" if card.driver else "")
    # A processor's own Radeon is listed as a card, too.
    unless = "If ROCm supports this card: i" if wanted == "ROCm" else "I"
    return Problem(
        "warning",
        f"PyTorch here is the build for {there}, although there is a card of {card.maker} ({seen}). "
        "It will not be used, and jobs take far longer.",
        f"{unless}n the add-on's preferences set Compute to {COMPUTE[wanted]} or Automatic, press Install "
        f"Backend there, then restart the backend. For a Python of your own {BUILDS} shows the command; "
        f"run it with {facts.computer.executable} instead of python.",
    )


def _unseen(card: Card, torch: Torch) -> Problem:
    built = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}"
    words = torch.complaint.rstrip(".")
    what = f"PyTorch is built for {built} and does not see {card.name}" + (f": {words}." if words else ".")
    if "driver" in words.lower() and ("old" in words.lower() or "insufficient" in words.lower()):
        driver = f" ({card.driver} now)" if card.driver else ""
        return Problem(
            "warning",
            what,
            f"Update the card's driver{driver} from https://www.nvidia.com/drivers and restart the computer.",
        )
    if card.maker == "AMD":
        return Problem(
            "warning",
            what,
            "Add yourself to the groups render and video (`sudo usermod -aG render,video $USER`), "
            "then log in anew.",
        )
    return Problem(
        "warning",
        what,
        "Restart the computer: after a driver update the card is lost until then. See also that "
        "CUDA_VISIBLE_DEVICES is not set to hide it.",
    )


def _models(facts: Facts) -> Iterator[Problem]:
    # Without its packages the registry can't say which there are.
    if any(package.version is None or package.error for package in facts.packages):
        return
    if not facts.models:
        yield Problem("error", "There is no model, not even the small one that ships with the add-on.", AGAIN)
        return
    for model in facts.not_installed:
        if model.damage:
            yield Problem("warning", model.damage.removesuffix(REMEDY).strip(), REMEDY)
    to_get = [model for model in facts.not_installed if not model.damage]
    published = any(model.image_size >= PUBLISHED_SIZE for model in facts.models)
    if facts.device is not None and not published and to_get:
        yield Problem(
            "warning",
            "There is a GPU, and no published model is installed: the small one knows few words.",
            f"Get one with `{facts.computer.executable} -m backend models download {to_get[0].name}`.",
        )


def _memory(facts: Facts) -> Iterator[Problem]:
    computer = facts.computer
    if computer.ram_free and computer.ram_free < LITTLE_RAM:
        yield Problem(
            "warning",
            f"Only {computer.ram_free / GB:.1f} of {computer.ram_total / GB:.1f} GB of memory are free.",
            "Close other programs before you start a job.",
        )


def _disk(facts: Facts) -> Iterator[Problem]:
    for place in facts.places:
        if place.error and place.title == TEMPORARY:
            yield Problem(
                "error",
                f"Temporary files can't be written: {place.path or 'no folder'} ({place.error}).",
                "Make room there, or set TMPDIR (on Windows TEMP) to another folder.",
            )
        elif place.error:
            yield Problem(
                "warning",
                f"{place.title}: {place.path} can't be written ({place.error}).",
                "Change its permissions, or set MVDREAM_MODELS to another folder.",
            )
    short = [place for place in facts.places if not place.error and place.free < LITTLE_DISK]
    if short:
        where = " and ".join(f"{place.path} ({place.free / GB:.1f} GB)" for place in short)
        yield Problem(
            "warning",
            f"There is little room on the disk of {where}.",
            "Make room: a job needs about 0.3 GB, the published model 10 GB while it is installed.",
        )
