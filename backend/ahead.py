# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the CPU goes ahead of a GPU: far enough that the GPU never waits, and no further.

Reading a number from a GPU waits for all that was asked of it before, in the same stream. In a stream of its
own the little that the number depends on is done at once, so the CPU waits for that alone, and the GPU never
for the CPU.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Ahead:
    """A second stream of a CUDA device. Elsewhere everything happens in order, and this does nothing."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device, priority=-1) if device.type == "cuda" else None
        self._must_catch_up = True

    def catch_up(self) -> None:
        """From here on the work depends on what was asked of the device until now."""
        self._must_catch_up = True

    @contextmanager
    def work(self) -> Iterator[None]:
        """What is done inside depends on nothing newer than the last `catch_up`."""
        if self._stream is None:
            yield
            return
        if self._must_catch_up:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            self._must_catch_up = False
        with torch.cuda.stream(self._stream):
            yield

    def hand_over(self, tensors: Iterable[Tensor]) -> None:
        """Makes results usable from here on. `tensors`: all of them, so that their memory is kept."""
        if self._stream is None:
            return
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for tensor in tensors:
            tensor.record_stream(current)


class Leash:
    """Keeps the CPU within a few steps of a CUDA device. Elsewhere this does nothing.

    Memory that two streams used is free again only when the device has come so far: without a leash it piles
    up, and progress is told, and a stop promised, that the device knows nothing of yet.
    """

    def __init__(self, device: torch.device, steps: int = 2) -> None:
        self._device, self._steps = device, steps
        self._ends: deque[torch.cuda.Event] = deque()

    def step(self) -> None:
        """To be called after a step was asked for. Waits for the end of the one `steps` before it."""
        if self._device.type != "cuda":
            return
        # Blocking: a thread that asks over and over would take a core from the artist's Blender.
        end = torch.cuda.Event(blocking=True)
        end.record(torch.cuda.current_stream(self._device))
        self._ends.append(end)
        if len(self._ends) > self._steps:
            self._ends.popleft().synchronize()
