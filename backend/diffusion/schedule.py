# SPDX-License-Identifier: GPL-3.0-or-later
"""The forward diffusion process: how noise is added, and taken off again given the noise."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.diffusion.config import ScheduleConfig


class NoiseSchedule:
    """Scaled-linear DDPM schedule. The tables are float32 whatever the model's precision, (steps,) each.

    beta_t = linspace(sqrt(linear_start), sqrt(linear_end))^2, alpha_bar_t = prod(1 - beta_s for s <= t),
    computed in float64 (Ho et al. 2020, equation 4; Rombach et al. 2022 for the scaled-linear betas).
    """

    def __init__(self, config: ScheduleConfig | None = None, device: torch.device | str = "cpu") -> None:
        self.config = config or ScheduleConfig()
        start, end = self.config.linear_start**0.5, self.config.linear_end**0.5
        betas = torch.linspace(start, end, self.config.steps, dtype=torch.float64) ** 2
        alphas_cumprod = torch.cumprod(1.0 - betas, dim=0)

        def table(values: Tensor) -> Tensor:
            return values.to(torch.float32).to(device)

        self.alphas_cumprod = table(alphas_cumprod)
        # Roots in float64: float32 roots of float32 tables lose a digit where alpha_bar is small.
        self._signal = table(alphas_cumprod.sqrt())
        self._noise = table((1.0 - alphas_cumprod).sqrt())
        self._inverse_signal = table((1.0 / alphas_cumprod).sqrt())
        self._noise_to_signal = table((1.0 / alphas_cumprod - 1.0).sqrt())

    def __len__(self) -> int:
        return self.config.steps

    def to(self, device: torch.device | str) -> NoiseSchedule:
        """The same schedule with its tables on `device`."""
        return (
            self if self.alphas_cumprod.device == torch.device(device) else NoiseSchedule(self.config, device)
        )

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise.

        x0, noise: (B, ...); t: (B,), (1,) or () integer steps. DDPM, equation 4.
        """
        return _at(self._signal, t, x0) * x0 + _at(self._noise, t, x0) * noise

    def predict_start(self, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_0 = x_t / sqrt(alpha_bar_t) - sqrt(1 / alpha_bar_t - 1) eps, undoing `add_noise`. Same shapes."""
        return _at(self._inverse_signal, t, x_t) * x_t - _at(self._noise_to_signal, t, x_t) * eps

    def one_minus_alpha_bar(self, t: Tensor, like: Tensor) -> Tensor:
        """1 - alpha_bar_t, the score distillation weight w(t), shaped to multiply `like` (B, ...)."""
        return 1.0 - _at(self.alphas_cumprod, t, like)


def _at(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    """Entries t of a table, shaped (B or 1, 1, ...) to multiply `like`, without leaving the device."""
    return table[t.to(table.device)].reshape(-1, *(1,) * (like.ndim - 1))
