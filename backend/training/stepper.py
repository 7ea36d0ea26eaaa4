# SPDX-License-Identifier: GPL-3.0-or-later
"""One training step (batch, forward, backward, clip, optimizer, average): eager, captured or compiled."""

import logging

import torch
from torch import Tensor, nn

from backend.errors import UserError
from backend.training.average import MovingAverage
from backend.training.task import Task

log = logging.getLogger(__name__)

SPEEDS = ("auto", "eager", "graph", "compile", "compile-graph")
_WARM_UP = (
    3  # eager steps of a kind before its capture: cuDNN chooses algorithms, the optimizer makes its state
)


class Stepper:
    """Runs steps in the fastest way that works.

    The networks are so small that launching kernels from Python takes longer than running them. A CUDA graph
    of the whole step removes that; torch.compile fuses what is left. What fails is logged and done without.

    Args:
        task: what to train.
        learning_rate: initial value, see `set_learning_rate`.
        average: the moving average to update after each step.
        clip: largest norm of the gradient.
        speed: one of SPEEDS; "auto" is "compile-graph" on CUDA and "eager" elsewhere.
    """

    def __init__(
        self, task: Task, learning_rate: float, average: MovingAverage, clip: float = 1.0, speed: str = "auto"
    ) -> None:
        cuda = task.device.type == "cuda"
        speed = ("compile-graph" if cuda else "eager") if speed == "auto" else speed
        self._task, self._average, self._clip = task, average, clip
        self._graphed = "graph" in speed and cuda
        self._compiled = "compile" in speed
        self._weights = [
            w for module in task.trained.values() for w in module.parameters() if w.requires_grad
        ]
        self._rate = torch.tensor(learning_rate, device=task.device) if cuda else None
        self.optimizer = torch.optim.AdamW(
            self._weights,
            lr=learning_rate if self._rate is None else self._rate,
            betas=(0.9, 0.99),
            weight_decay=0.01,
            fused=cuda,
            capturable=cuda,
        )
        self.loss_sum = torch.zeros((), device=task.device)
        self._stream = torch.cuda.Stream() if self._graphed else None
        self._graphs: dict[str, torch.cuda.CUDAGraph] = {}
        self._eager_steps: dict[str, int] = {}
        task.compile(self._compiled)

    @property
    def ready(self) -> bool:
        """Whether compiling and capturing are over, so that the speed from now on is the final one."""
        if self._graphed:
            return len(self._graphs) == len(self._task.variants)
        return len(self._eager_steps) == len(self._task.variants)

    def set_learning_rate(self, value: float) -> None:
        """Learning rate of the next step; on CUDA written to the tensor that captured graphs read."""
        if self._rate is not None:
            self._rate.fill_(value)
        else:
            self.optimizer.param_groups[0]["lr"] = value

    def load_optimizer(self, state: dict) -> None:
        """Restores the optimizer's state; the learning rate and how it is computed stay this run's own."""
        own = {key: value for key, value in self.optimizer.param_groups[0].items() if key != "params"}
        self.optimizer.load_state_dict(state)
        self.optimizer.param_groups[0].update(own)

    def step(self, variant: str) -> None:
        """One step; adds its loss to `loss_sum` on the device."""
        graph = self._graphs.get(variant)
        if graph is not None:
            graph.replay()
            return
        self._eager(variant)
        done = self._eager_steps[variant] = self._eager_steps.get(variant, 0) + 1
        if self._graphed and done >= _WARM_UP:
            self._capture(variant)

    def _eager(self, variant: str) -> None:
        try:
            self._beside(variant)
        except torch.OutOfMemoryError as error:
            raise UserError(
                "The GPU's memory does not suffice. Use a smaller --batch or --backgrounds."
            ) from error
        except Exception:
            if not self._compiled:
                raise
            log.warning("torch.compile failed; going on without it.", exc_info=True)
            self._compiled = False
            self._task.compile(False)
            self._beside(variant)

    def _beside(self, variant: str) -> None:
        """An eager step, on the stream that capture will use: autograd remembers the stream of its nodes."""
        self.optimizer.zero_grad(set_to_none=True)
        if self._stream is None:
            self._work(variant)
            return
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._work(variant)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _work(self, variant: str) -> None:
        loss = self._task.loss(variant)
        loss.backward()
        nn.utils.clip_grad_norm_(self._weights, self._clip)
        self.optimizer.step()
        self._average.update()
        self.loss_sum.add_(loss.detach())

    def _capture(self, variant: str) -> None:
        # Gradients must be absent: the graph then owns them and overwrites them at each replay.
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                self._work(variant)
        except Exception:
            log.warning("Capturing a CUDA graph failed; going on without.", exc_info=True)
            self._graphed = False
            self._graphs.clear()
            torch.cuda.synchronize()
            return
        self._graphs[variant] = graph
        log.info("Captured the %s training step as a CUDA graph.", variant)


def mean_and_reset(total: Tensor, steps: int) -> float:
    """Mean loss of `steps` steps; waits for the device."""
    value = float(total) / max(steps, 1)
    total.zero_()
    return value
