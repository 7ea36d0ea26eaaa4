# SPDX-License-Identifier: GPL-3.0-or-later
"""How a trial of our own GPU kernels ends: they serve, they don't, or the card is lost. No torch."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable

from backend.errors import UserError
from backend.gpu_errors import crashes_explained

log = logging.getLogger(__name__)


def ends_well(trial: Callable[[], bool], lament: str) -> bool:
    """Whether the kernels give what PyTorch gives; False without Triton, and where anything is in their way.

    lament: the warning for that, with %s for the reason. Raises UserError where they crashed: nothing else
    works on that GPU either.
    """
    if importlib.util.find_spec("triton") is None:
        return False
    try:
        with crashes_explained():
            return trial()
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - compiler, driver, card: anything can go wrong
        log.warning(lament, error)
        return False
