# SPDX-License-Identifier: GPL-3.0-or-later
"""The commonest mistake at a prompt that is an argument. No import but argparse: `building` uses it, too."""

import argparse
from collections.abc import Sequence


def parse_quoted(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """As `parser.parse_args`; where words are left over because a prompt lacks its quotes, that is told."""
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        words = hasattr(arguments, "prompt") and not any(word.startswith("-") for word in rest)
        hint = f'. Put the prompt in quotes: "{" ".join([arguments.prompt, *rest])}"' if words else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    return arguments
