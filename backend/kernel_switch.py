# SPDX-License-Identifier: GPL-3.0-or-later
"""The way around this program's own GPU kernels and CUDA graphs: an environment variable. No torch."""

from __future__ import annotations

import functools
import logging
import os

from backend.errors import UserError

VARIABLE = "MVDREAM_KERNELS"
"""`off`: plain PyTorch does the work, more slowly. `auto` or not set: kernels where their trial works."""

log = logging.getLogger(__name__)


def kernels_allowed() -> bool:
    """Whether the environment leaves kernels and graphs on. Where it does not, that is logged once.

    Raises UserError for a value of the variable that means nothing.
    """
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value in ("", "auto"):
        return True
    if value == "off":
        _tell()
        return False
    raise UserError(f"The environment variable {VARIABLE} is {value!r}. It can be 'off' or 'auto'.")


@functools.cache
def _tell() -> None:
    log.warning("%s is off: plain PyTorch does the work, more slowly.", VARIABLE)
