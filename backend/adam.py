# SPDX-License-Identifier: GPL-3.0-or-later
"""AdamW (Loshchilov & Hutter 2019) by PyTorch's own fused kernel, without `torch.optim` around it.

The first optimiser of `torch.optim` that is made imports PyTorch's compiler, about a second, whether or not
anything is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class AdamW:
    """Moves parameters along their gradients; those without one stay where they are.

    `param_groups` and `state` are as those of `torch.optim`: of each group "params" and "lr", and what else
    it was given; of each parameter "step" (), "exp_avg" and "exp_avg_sq", once it has moved.

    Args:
        groups: "params" and "lr" of each.
        betas: how much of both moments is kept in a step.
        eps: added to the second moment's root.
        weight_decay: share of a parameter, times the rate, taken from it in a step.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        betas: tuple[float, float],
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.param_groups = [{**group, "params": list(group["params"])} for group in groups]
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._betas, self._eps, self._weight_decay = betas, eps, weight_decay

    def zero_grad(self) -> None:
        """Drops all gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients that are there."""
        for group in self.param_groups:
            moving = [parameter for parameter in group["params"] if parameter.grad is not None]
            if moving:
                self._move(moving, [parameter.grad for parameter in moving], group["lr"])

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        states = [self._state_of(parameter) for parameter in parameters]
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=rate,
            beta1=self._betas[0],
            beta2=self._betas[1],
            weight_decay=self._weight_decay,
            eps=self._eps,
            amsgrad=False,
            maximize=False,
        )

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state.get(parameter)
        if state is None:
            state = self.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return state
