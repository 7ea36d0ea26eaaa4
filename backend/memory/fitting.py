# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a job's numbers smaller until it fits into the memory that is free, and says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from backend.errors import UserError
from backend.memory.estimation import Need

if TYPE_CHECKING:
    from backend.settings import Numbers

N = TypeVar("N", bound="Numbers")

USABLE = 0.9
"""Part of the free memory that a job may plan with: other programs want some, and an estimate may err."""


@dataclass(frozen=True)
class _Rung:
    """A number that may be made smaller.

    Args:
        name: of the number.
        values: to try, from large to small.
        effect: what the user loses.
    """

    name: str
    values: tuple[int, ...]
    effect: str


# In the order of what it costs the user: time first, then fineness, then views.
LADDER = (
    _Rung("ray_chunk", tuple(1 << n for n in range(17, 9, -1)), "the same result, slower"),
    _Rung("texture_size", (4096, 2048, 1024, 512), "a coarser texture"),
    _Rung("mesh_resolution", (256, 192, 128, 96), "a coarser mesh"),
    _Rung("refine_views_per_step", (8, 4), "a noisier path to the same object"),
    _Rung("views_per_step", (8, 4), "a noisier path to the same object"),
    _Rung("refine_render_size", (192, 128, 96, 64), "less detail"),
    _Rung("render_size", (64, 48, 32), "less detail"),
    _Rung("samples_per_ray", (128, 96, 64, 48), "less detail"),
)


@dataclass(frozen=True)
class Fit(Generic[N]):
    """Numbers that fit.

    Args:
        numbers: as asked for, or smaller.
        need: what a job with them needs.
        sentences: for the user, on what was changed and why; empty where nothing was.
    """

    numbers: N
    need: Need
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Room:
    """What may be used, in bytes."""

    device: float
    host: float

    @classmethod
    def of(cls, free_device: int, free_host: int) -> Room:
        """Of what is free on the device and in the computer."""
        return cls(USABLE * free_device, USABLE * free_host)

    def lack(self, need: Need) -> float:
        """Bytes that are missing, over both memories; 0 where it fits."""
        return max(0.0, need.device_total - self.device) + max(0.0, need.host_total - self.host)


def fit(
    numbers: N,
    need_of: Callable[[N], Need],
    free_device: int,
    free_host: int,
    device: str,
    others: Mapping[str, Need] | None = None,
) -> Fit[N]:
    """The numbers, or the least reduced ones that fit.

    need_of: what a job with these numbers needs. free_device, free_host: bytes free on the device (without
    meaning for a CPU) and in the computer. device: its name, for sentences. others: models that could be used
    instead, with the least each needs.

    Raises UserError when nothing fits; it names what would.
    """
    room = Room.of(free_device, free_host)
    asked = need_of(numbers)
    if not room.lack(asked):
        return Fit(numbers, asked)
    smaller = _descend(numbers, need_of, room)
    least = need_of(smaller)
    if room.lack(least):
        who = "Even with the smallest numbers the job needs"
        raise UserError(nothing_fits(who, least, room, device, others or {}))
    chosen = _relax(numbers, smaller, need_of, room)
    return Fit(chosen, need_of(chosen), _changes(numbers, chosen, asked, room, device))


def smallest(numbers: N, need_of: Callable[[N], Need]) -> Need:
    """The least that a job can be brought down to."""
    return need_of(_descend(numbers, need_of, Room(0, 0)))


def _descend(numbers: N, need_of: Callable[[N], Need], room: Room) -> N:
    """Down the ladder until it fits. Each step is on the first rung where one helps."""
    while lack := room.lack(need_of(numbers)):
        candidates = (
            _with(numbers, rung.name, value)
            for rung in LADDER
            for value in rung.values
            if _is_smaller(value, getattr(numbers, rung.name), rung.name)
        )
        better = next((each for each in candidates if room.lack(need_of(each)) < lack), None)
        if better is None:
            break
        numbers = better
    return numbers


def _relax(asked: N, chosen: N, need_of: Callable[[N], Need], room: Room) -> N:
    """Back up wherever a later rung made an earlier one needless, the most harmful change first."""
    for rung in reversed(LADDER):
        wanted, now = getattr(asked, rung.name), getattr(chosen, rung.name)
        for value in (wanted, *rung.values):
            between = value == wanted or _is_smaller(value, wanted, rung.name)
            if value == now or not between or not _is_smaller(now, value, rung.name):
                continue
            candidate = _with(chosen, rung.name, value)
            if not room.lack(need_of(candidate)):
                chosen = candidate
                break
    return chosen


def _with(numbers: N, name: str, value: int) -> N:
    change: dict[str, Any] = {name: value}
    return replace(numbers, **change)


def _is_smaller(value: int, than: int, name: str) -> bool:
    """Whether it needs less; a ray_chunk of 0 stands for all rays."""
    if name == "ray_chunk":
        return value != 0 and (than == 0 or value < than)
    return value < than


def _changes(asked: Numbers, chosen: Numbers, need: Need, room: Room, device: str) -> tuple[str, ...]:
    said = [f"{_shortage('The job needs', need, room, device)} So that it fits:"]
    for rung in LADDER:
        before, after = getattr(asked, rung.name), getattr(chosen, rung.name)
        if before != after:
            was = "all rays" if rung.name == "ray_chunk" and not before else f"{before}"
            said.append(f"{rung.name} is {after} instead of {was} ({rung.effect}).")
    return tuple(said)


def _shortage(who: str, need: Need, room: Room, device: str) -> str:
    """Which memory is short, with both figures."""
    if need.device_total > room.device and need.device:
        wanted, free, where = need.device_total, room.device, f"on {device}"
    else:
        wanted, free, where = need.host_total, room.host, "in this computer"
    return f"{who} {gigabytes(wanted)} of memory {where}, and {gigabytes(free)} can be used."


def nothing_fits(who: str, least: Need, room: Room, device: str, others: Mapping[str, Need]) -> str:
    """What is missing, and what would help. who: the beginning of the sentence, up to "needs"."""
    said = [_shortage(who, least, room, device)]
    fitting = [name for name, need in others.items() if not room.lack(need)]
    ways = [f"choose the model {' or '.join(repr(name) for name in fitting)}, which fits"] if fitting else []
    if least.device and least.device_total > room.device:
        ways.append("close other programs that use the graphics card (Blender's own viewport is one)")
        # Rounded up to what is sold: a card is never free to its last gigabyte.
        ways.append(f"use a card with {_card(least.device_total)} GB or more")
    else:
        ways.append("close other programs")
    said.append(f"What would help: {'; '.join(ways)}.")
    return " ".join(said)


def _card(wanted: int) -> int:
    sizes = (4, 6, 8, 10, 12, 16, 24, 32, 48, 80)
    return next((size for size in sizes if USABLE * (size - 0.7) * 1e9 >= wanted), 80)


def gigabytes(count: float) -> str:
    """Bytes as a person reads them: "1.6 GB"."""
    return f"{count / 1e9:.1f} GB"
