# SPDX-License-Identifier: GPL-3.0-or-later
"""What the system refuses (a full disk, a folder that can't be written) as a sentence with a way out."""

import errno

from building.layout import CACHE_VARIABLE

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def is_full(error: OSError) -> bool:
    """Whether a disk or a quota is full; Windows has two numbers of its own for it."""
    return error.errno in _FULL or getattr(error, "winerror", None) in (39, 112)


def in_cache(error: OSError, doing: str, folder: object) -> str:
    """For what goes wrong in the cache folder while `doing`, such as "making backend"."""
    if is_full(error):
        return (
            f"The disk became full while {doing} in {folder}: free some space, or set {CACHE_VARIABLE} to a "
            "folder on another disk, then try again."
        )
    return (
        f"{_place(error) or folder} can't be used ({_reason(error)}), which {doing} needs. "
        f"Set {CACHE_VARIABLE} to a folder that can be written."
    )


def anywhere(error: OSError) -> str:
    """For all the rest."""
    if is_full(error):
        place = _place(error)
        return f"The disk became full{f' at {place}' if place else ''}: free some space, then try again."
    return f"{_place(error) or 'The system'}: {_reason(error)}. Change that, then try again."


def _place(error: OSError) -> str:
    return str(error.filename2 or error.filename or "")


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
