# SPDX-License-Identifier: GPL-3.0-or-later
"""DPM-Solver++ (Lu et al. 2022) of first and second order, fed with x0: the numbers are those of diffusers'.

Its scheduler of that name takes seconds to import, for what is a table and two lines of arithmetic.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.diffusion.schedule import NoiseSchedule

Solver = Literal["dpm++", "ddim"]
SOLVERS: tuple[Solver, ...] = get_args(Solver)
KARRAS_POWER = 7.0

Table = NDArray[np.float64]


class Multistep:
    """A solver at work: to be stepped through its times, once.

    Args:
        timesteps: (S,) integers, from the noisiest.
        sigmas: (S + 1,) float32 ratios of noise to signal at those times, and 0. On the CPU.
        order: 1 or 2.
    """

    def __init__(self, timesteps: Tensor, sigmas: Tensor, order: int) -> None:
        self.timesteps, self.sigmas = timesteps, sigmas
        self._order = order
        self._done = 0
        self._before: Tensor | None = None

    def step(self, start: Tensor, latents: Tensor) -> Tensor:
        """x at the next time, of x0 as it is foreseen and x at this one; all of one shape, float32.

        Lu et al. 2022, algorithm 2, with the midpoint rule. The first and the last step are of first order.
        """
        here, done = self._done, self._done == len(self.timesteps) - 1
        alpha, noise = _parts(self.sigmas[here + 1])
        noise_here = _parts(self.sigmas[here])[1]
        width = self._logarithm(here + 1) - self._logarithm(here)
        factor = alpha * (torch.exp(-width) - 1.0)
        found = (noise / noise_here) * latents - factor * start
        if self._order == 2 and self._before is not None and not done:
            ratio = (self._logarithm(here) - self._logarithm(here - 1)) / width
            found = found - 0.5 * factor * ((1.0 / ratio) * (start - self._before))
        self._before, self._done = start, here + 1
        return found

    def _logarithm(self, place: int) -> Tensor:
        """Half the logarithm of the ratio of signal to noise, lambda in the paper."""
        alpha, noise = _parts(self.sigmas[place])
        return torch.log(alpha) - torch.log(noise)


def make_solver(solver: Solver, schedule: NoiseSchedule, steps: int) -> Multistep:
    """The solver for `steps` steps of our schedule, ending at x0.

    DDIM is the first-order DPM-Solver++ (Lu et al. 2022, section 4.1), its times as far apart as they can be
    from the last one down. The second order has Karras' times (Karras et al. 2022, equation 5), which are
    finer where little noise is left.

    Raises ValueError for an unknown solver or an impossible number of steps.
    """
    if solver not in SOLVERS or not 1 <= steps <= len(schedule):
        raise ValueError(f"no solver {solver!r} with {steps} of {len(schedule)} steps")
    alphas = schedule.alphas_cumprod.cpu()
    table = (((1 - alphas) / alphas) ** 0.5).numpy()
    if solver == "dpm++":
        sigmas = _karras_sigmas(float(table[0]), float(table[-1]), steps)
        times = np.array([_time_of(sigma, np.log(table)) for sigma in sigmas]).round()
    else:
        times = np.arange(len(table), 0, -len(table) / steps).round() - 1
        sigmas = np.interp(times, np.arange(len(table)), table)
    ending = np.concatenate([sigmas, [0]]).astype(np.float32)
    return Multistep(
        torch.from_numpy(times.astype(np.int64)), torch.from_numpy(ending), 2 if solver == "dpm++" else 1
    )


def _karras_sigmas(least: float, most: float, steps: int) -> Table:
    low, high = least ** (1 / KARRAS_POWER), most ** (1 / KARRAS_POWER)
    return (high + np.linspace(0, 1, steps) * (low - high)) ** KARRAS_POWER


def _time_of(sigma: float, logarithms: NDArray[np.float32]) -> float:
    """Where a ratio of noise to signal is in the schedule, between two of its steps."""
    found = np.log(np.maximum(sigma, 1e-10))
    low = int(((found - logarithms) >= 0).cumsum().argmax().clip(max=len(logarithms) - 2))
    below, above = logarithms[low], logarithms[low + 1]
    share = np.clip((below - found) / (below - above), 0, 1)
    return (1 - share) * low + share * (low + 1)


def _parts(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of signal and of noise, alpha and sigma in the paper, of a ratio of the two."""
    alpha = 1 / ((sigma**2 + 1) ** 0.5)
    return alpha, sigma * alpha
