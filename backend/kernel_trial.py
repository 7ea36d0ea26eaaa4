# SPDX-License-Identifier: GPL-3.0-or-later
"""How a trial of our own GPU kernels goes on and ends: they serve, they don't, or the card is lost."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from backend.errors import UserError
from backend.gpu_errors import crashes_explained, is_crash

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


def side_by_side(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """What the works return, in their order; on a GPU each in a thread of its own.

    On a fresh machine kernels are compiled, and the compiler lets other threads work meanwhile (but for what
    is compiled on the way back: autograd has one thread a device). Threads begin with gradients on, whatever
    the caller's mode, and on the default stream. Where works fail, a crash is raised before other errors, as
    it may be what the others failed of, and else the first one's error. An interruption does not wait for
    them.
    """
    import torch

    if not torch.cuda.is_available():
        return [work() for work in works]
    device = torch.cuda.current_device()
    done: dict[int, Any] = {}
    failed: dict[int, BaseException] = {}

    def run(number: int, work: Callable[[], Any]) -> None:
        try:
            torch.cuda.set_device(device)
            done[number] = work()
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            failed[number] = error

    threads = [
        threading.Thread(target=run, args=each, name="trial", daemon=True) for each in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        errors = [failed[number] for number in sorted(failed)]
        raise next(filter(is_crash, errors), errors[0])
    return [done[number] for number in range(len(threads))]
