# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of parts of a step: device events on a GPU, the clock elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch


class Stopwatch:
    """Collects milliseconds by name, step by step. Names may be nested: an outer one includes the inner."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._open: list[list[tuple[str, Any, Any]]] = [[]]
        self._steps: dict[str, list[float]] = defaultdict(list)
        self._wrapped: list[tuple[Any, str, Any]] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Adds what happens inside to `name` of the current step."""
        start = self._now()
        yield
        self._open[-1].append((name, start, self._now()))

    def wrap(self, owner: Any, attribute: str, name: str) -> None:
        """Measures every call of owner.attribute until `unwrap`."""
        function: Callable[..., Any] = getattr(owner, attribute)
        self._wrapped.append((owner, attribute, function))

        def measured(*args: Any, **kwargs: Any) -> Any:
            with self.measure(name):
                return function(*args, **kwargs)

        setattr(owner, attribute, measured)

    def unwrap(self) -> None:
        """Puts everything back that was wrapped."""
        while self._wrapped:
            setattr(*self._wrapped.pop())

    def end_step(self) -> None:
        """Begins the next step. Nothing waits: a device that is kept busy must stay so."""
        self._open.append([])

    def _read(self) -> None:
        """Waits for the device and files the times of all steps that have ended."""
        if self._cuda:
            torch.cuda.synchronize()
        for step in self._open[:-1]:
            sums: dict[str, float] = defaultdict(float)
            for name, start, end in step:
                sums[name] += start.elapsed_time(end) if self._cuda else (end - start) * 1e3
            for name, value in sums.items():
                self._steps[name].append(value)
        self._open = self._open[-1:]

    def medians(self, skip: int = 0) -> dict[str, float]:
        """Milliseconds a step by name, without the first `skip` steps."""
        self._read()
        return {name: median(values[skip:] or values) for name, values in self._steps.items()}

    def series(self, name: str) -> list[float]:
        """All steps of one name."""
        self._read()
        return self._steps[name]

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
