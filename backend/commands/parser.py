# SPDX-License-Identifier: GPL-3.0-or-later
"""An argparse that answers a mistake in a sentence. No other import: `building` uses it, too."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

_OPTION = re.compile(r" --?[A-Za-z]")
_WRONG_TYPE = re.compile(r"^argument ([^:]+): invalid (int|float) value: (.*)$")
_KINDS = {"int": "a whole number", "float": "a number"}
_ASKED = "asked_parser"


class Parser(argparse.ArgumentParser):
    """Options have to be written out, and a mistake is not answered by the list of all options.

    That list is dozens of lines here, and its end, the mistake, is what would be read last. Subcommands have
    parsers of this class, too.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **options})
        self._given: list[str] = []

    def error(self, message: str) -> NoReturn:
        """Says it on standard error, and ends with exit code 2."""
        if "required" in message:
            message += self._cause()
        message = _WRONG_TYPE.sub(_plainly, message)
        stop = "" if message.endswith((".", "?")) else "."
        self.exit(2, f"{self.prog}: {message}{stop} `{self.prog} --help` tells more.\n")

    def unknown(self, words: Sequence[str]) -> str:
        """A sentence on arguments that nothing knows, with what may have been meant."""
        from difflib import get_close_matches

        names = [word.partition("=")[0] for word in words if word.startswith("--")]
        meant = [near for name in names for near in get_close_matches(name, self._option_string_actions, 1)]
        hint = f". Did you mean {', '.join(meant)}?" if meant else ""
        return f"unrecognized arguments: {' '.join(words)}{hint}"

    def _cause(self) -> str:
        """What may be behind a missing argument: a misspelt option, or one inside quotes."""
        strange = [
            word
            for word in self._given
            if word.startswith("--") and word.partition("=")[0] not in self._option_string_actions
        ]
        inside = [word for word in self._given if _OPTION.search(word)]
        if strange:
            return f"; {self.unknown(strange)}"
        return f". Is a quotation mark missing in {inside[0]!r}?" if inside else ""

    def parse_quoted(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """As `parse_args`; where the quotes around a prompt are missing or wrong, that is told."""
        arguments, rest = self.parse_known_args(argv)
        asked: Parser = vars(arguments).pop(_ASKED)
        if rest:
            words = hasattr(arguments, "prompt") and not any(word.startswith("-") for word in rest)
            hint = f'. Put the prompt in quotes: "{" ".join([arguments.prompt, *rest])}"' if words else ""
            asked.error(f"{asked.unknown(rest)}{hint}")
        return arguments

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's; what was given is remembered for `error`."""
        self._given = list(args or ())
        found, rest = super().parse_known_args(args, namespace)
        if not hasattr(found, _ASKED):  # a subcommand's parser is done first
            setattr(found, _ASKED, self)
        return found, rest


def _plainly(found: re.Match[str]) -> str:
    option, kind, value = found.groups()
    return f"{option} must be {_KINDS[kind]}; {value} was given"
