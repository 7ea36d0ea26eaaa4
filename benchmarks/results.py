# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark measured, as JSON, beside what an earlier run of it did."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --json and --compare. A file to compare with is read at once, before anything is measured."""
    parser.add_argument("--json", type=_place, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--compare", type=_results, metavar="OLD.json", help="show them beside those of an earlier run"
    )


def finish(arguments: argparse.Namespace, found: Mapping[str, Any]) -> None:
    """Writes and compares what was measured, as the options ask for."""
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    if arguments.compare is not None:
        for line in comparison(arguments.compare, found):
            log.info("%s", line)


def comparison(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """First what else is different, as another device; then each number and its change in percent.

    What only one of the runs has is left out.
    """
    before, now = dict(_leaves(old)), dict(_leaves(new))
    both = [(name, before[name], now[name]) for name in now if name in before]
    others = [
        f"Not the same: {name} is {new}, was {old}"
        for name, old, new in both
        if isinstance(new, str) and new != old
    ]
    numbers = [
        _change(name, old, new)
        for name, old, new in both
        if isinstance(old, float) and isinstance(new, float)
    ]
    return [*others, *(numbers or ["The two runs have no figure in common."])]


def _change(name: str, old: float, new: float) -> str:
    percent = f" ({100 * (new / old - 1):+.1f} %)" if old else ""
    return f"{name}: {new:,.6g}, was {old:,.6g}{percent}"


def _leaves(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, float | str]]:
    """Numbers and words by the names on the way to them; lists, which are courses over time, are left out."""
    if isinstance(found, Mapping):
        for name, value in found.items():
            yield from _leaves(value, (*path, str(name)))
    elif isinstance(found, str):
        yield " / ".join(path), found
    elif isinstance(found, int | float) and not isinstance(found, bool):
        yield " / ".join(path), float(found)


def _place(path: str) -> Path:
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {folder} to write to")
    return Path(path)


def _results(path: str) -> Mapping[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path} can't be read as the figures of a run: {error}") from error
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{path} has no figures of a run: an object of JSON is wanted")
    return found
