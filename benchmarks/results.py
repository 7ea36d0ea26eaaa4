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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
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
    """A line for each number that both have, with its change in percent of the old one.

    Raises nothing: what only one has, or what is no number, is left out.
    """
    before, now = dict(_numbers(old)), dict(_numbers(new))
    lines = []
    for name in now:
        if name in before:
            change = f" ({100 * (now[name] / before[name] - 1):+.1f} %)" if before[name] else ""
            lines.append(f"{name}: {now[name]:.4g}, was {before[name]:.4g}{change}")
    return lines or ["The two runs have no figure in common."]


def _numbers(found: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, float]]:
    """Numbers by the names on the way to them; lists, which are courses over time, are left out."""
    if isinstance(found, Mapping):
        for name, value in found.items():
            yield from _numbers(value, (*path, str(name)))
    elif isinstance(found, int | float) and not isinstance(found, bool):
        yield " / ".join(path), float(found)


def _results(path: str) -> Mapping[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path} can't be read as the figures of a run: {error}") from error
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{path} has no figures of a run: an object of JSON is wanted")
    return found
