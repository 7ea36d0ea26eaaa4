# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks as CUDA graphs: hundreds of kernels launched as one. No compiler is needed."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from backend.gpu_errors import is_crash, is_shortage

Function = Callable[..., Tensor]

log = logging.getLogger(__name__)

_WARM_UPS = 2
_PAUSE = 32
"""Calls without a graph after memory was too short for one; each time twice as many."""


class Graphed:
    """A function of tensors whose constants are frozen, replayed from a graph where that is possible.

    A graph belongs to the inputs' shapes and types, to `key`, and to whether the first input wants a
    gradient. It is captured when the same call comes a second time in a row, and one is kept: when the work
    changes for good, the old one's memory is freed, and calls in turns capture nothing. A capture that fails
    is said once, and such calls are made without: for good, or for a while if only memory was short.
    """

    def __init__(self, name: str, function: Function) -> None:
        self._name, self._function = name, function
        self._captured: _Captured | None = None
        self._last: Any = None
        self._hopeless: set[Any] = set()
        self._pause, self._waiting = _PAUSE, 0

    def __call__(self, *inputs: Tensor, key: Any = None) -> Tensor:
        """function(*inputs, key=key); gradients go to the first input alone. The result is the caller's."""
        if not _can_capture(inputs[0]):
            return self._function(*inputs, key=key)
        with_gradient = torch.is_grad_enabled() and inputs[0].requires_grad
        call = (key, with_gradient, *((x.shape, x.stride(), x.dtype, x.device) for x in inputs))
        again, self._last = call == self._last, call
        captured = self._captured
        if captured is None or captured.call != call:
            if not again or not self._is_worth_trying(call):
                return self._function(*inputs, key=key)
            captured = None
            self._drop()
            captured = self._capture(call, inputs, key, with_gradient)
            if captured is None:
                return self._function(*inputs, key=key)
        if not with_gradient:
            return captured.forward(inputs)
        if captured.busy:
            # A second call before the backward of the first would overwrite what that needs.
            return self._function(*inputs, key=key)
        return _Replay.apply(inputs[0], captured, inputs[1:])

    def release(self) -> None:
        """Frees the graph and its memory. One whose backward is still to come lives until then.

        The next calls capture a new one, if only memory was short before.
        """
        self._drop()
        self._pause, self._waiting = _PAUSE, 0

    def _drop(self) -> None:
        if self._captured is not None:
            # It may be on its way on the device.
            _wait_for(self._captured.device)
            self._captured = None
            torch.cuda.empty_cache()

    def _is_worth_trying(self, call: Any) -> bool:
        if call in self._hopeless:
            return False
        self._waiting = max(0, self._waiting - 1)
        return not self._waiting

    def _capture(
        self, call: Any, inputs: tuple[Tensor, ...], key: Any, with_gradient: bool
    ) -> _Captured | None:
        try:
            captured = _Captured(lambda *x: self._function(*x, key=key), inputs, with_gradient, call)
        except Exception as error:
            # Else memory was short, or no graph can hold an operation.
            if is_crash(error):
                raise
            self._give_up(call, error)
        else:
            self._captured, self._pause = captured, _PAUSE
            return captured
        # Outside of the handler: the error no longer holds the failed attempt's tensors.
        torch.cuda.empty_cache()
        return None

    def _give_up(self, call: Any, error: Exception) -> None:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not is_shortage(error):
            self._hopeless.add(call)
            message = "The %s can't become a CUDA graph (%s); it runs without, more slowly."
            log.warning(message, self._name, reason)
            return
        if self._pause == _PAUSE:
            message = "Memory is short for a CUDA graph of the %s (%s); for now it runs without, more slowly."
            log.warning(message, self._name, reason)
        self._waiting, self._pause = self._pause + 1, 2 * self._pause


def _can_capture(x: Tensor) -> bool:
    return x.is_cuda and not torch.cuda.is_current_stream_capturing()


def _wait_for(device: torch.device) -> None:
    torch.cuda.synchronize(device)


class _Captured:
    """The graph of a forward pass, or of one and its backward pass, with their fixed inputs and outputs."""

    def __init__(
        self, function: Function, inputs: tuple[Tensor, ...], with_gradient: bool, call: Any
    ) -> None:
        self.call, self.device = call, inputs[0].device
        self._holder: weakref.ref[_Use] | None = None
        self._inputs = [x.detach().clone() for x in inputs]
        with torch.set_grad_enabled(with_gradient):
            self._inputs[0].requires_grad_(with_gradient)
            self._warm_up(function)
            self._ahead: Any = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._ahead):
                output = function(*self._inputs)
            if with_gradient:
                self._slope = torch.empty_like(output)
                self._back: Any = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._back, pool=self._ahead.pool()):
                    (self._pulled,) = torch.autograd.grad(output, self._inputs[0], self._slope)
        self._output = output.detach()

    def _warm_up(self, function: Function) -> None:
        """Lets libraries choose and compile their kernels, which can't be done while a graph is captured."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                output = function(*self._inputs)
                if output.requires_grad:
                    torch.autograd.grad(output, self._inputs[0], torch.ones_like(output))
        torch.cuda.current_stream().wait_stream(stream)

    @property
    def busy(self) -> bool:
        """Whether somebody may still ask for the backward pass of the last forward one."""
        return self._holder is not None and self._holder() is not None

    @torch.no_grad()
    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        for fixed, given in zip(self._inputs, inputs, strict=True):
            fixed.copy_(given)
        self._ahead.replay()
        return self._output.clone()

    def hold(self, use: _Use) -> None:
        self._holder = weakref.ref(use)

    @torch.no_grad()
    def backward(self, gradient: Tensor) -> Tensor:
        self._slope.copy_(gradient)
        self._back.replay()
        return self._pulled.clone()


class _Use:
    """One forward pass whose backward pass has not been asked for; dies with the caller's graph."""


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, captured: _Captured, others: tuple[Tensor, ...]) -> Tensor:
        ctx.captured, ctx.use = captured, _Use()
        output = captured.forward((x, *others))
        captured.hold(ctx.use)
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.use is None:
            raise RuntimeError("a captured graph has one backward pass for each forward pass")
        ctx.use = None
        return ctx.captured.backward(gradients[0]), None, None
