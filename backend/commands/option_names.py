# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings under the names that the command line has for them, in what it says of a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from backend.errors import UserError

_OTHERS = {"negative_prompt": "--negative"}
# A setting of one word may be a plain word elsewhere in a sentence.
_SUBJECT = r"(?:(?<=^)|(?<=\. ))(?P<subject>{names})(?= must be | is too long| is -?\d)"
_ANYWHERE = r"(?<![\w/.-])(?P<anywhere>{names})(?![\w/.-]\w)(?!\w)"


@contextmanager
def options_named(settings: Iterable[str]) -> Iterator[None]:
    """Within it a UserError calls these settings by their options, as in "--guidance-scale must be ..."."""
    names = [name for name in settings if name != "prompt"]
    try:
        yield
    except UserError as error:
        raise UserError(_renamed(str(error), names)) from error


def _renamed(text: str, names: list[str]) -> str:
    def option(match: re.Match[str]) -> str:
        return _OTHERS.get(match[0], f"--{match[0].replace('_', '-')}")

    joined = [name for name in names if "_" in name]
    single = [name for name in names if "_" not in name]
    for pattern, found in ((_ANYWHERE, joined), (_SUBJECT, single)):
        if found:
            text = re.sub(pattern.format(names="|".join(found)), option, text)
    return text
