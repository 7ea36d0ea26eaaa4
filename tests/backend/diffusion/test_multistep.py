# SPDX-License-Identifier: GPL-3.0-or-later
"""The solvers against diffusers' scheduler: the same times and the same steps, to the last bit."""

from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from backend.diffusion.config import ScheduleConfig
from backend.diffusion.multistep import SOLVERS, make_solver
from backend.diffusion.schedule import NoiseSchedule

SCHEDULES = {
    "usual": ScheduleConfig(),
    "short": ScheduleConfig(linear_start=0.001, linear_end=0.02, steps=300),
}


def stock(solver: str, schedule: NoiseSchedule, steps: int) -> Any:
    """diffusers' scheduler with our table, which is a product in float64."""
    second = solver == "dpm++"
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=schedule.config.steps,
        beta_start=schedule.config.linear_start,
        beta_end=schedule.config.linear_end,
        beta_schedule="scaled_linear",
        prediction_type="sample",
        solver_order=2 if second else 1,
        final_sigmas_type="zero",
        timestep_spacing="trailing",
        use_karras_sigmas=second,
    )
    scheduler.alphas_cumprod = schedule.alphas_cumprod
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    return scheduler


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 14, 15, 20, 37, 300])
def test_times_and_steps_are_those_of_diffusers(name: str, solver: Any, steps: int) -> None:
    schedule = NoiseSchedule(SCHEDULES[name])
    theirs, ours = stock(solver, schedule, steps), make_solver(solver, schedule, steps)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    assert torch.equal(ours.sigmas, theirs.sigmas)
    generator = torch.Generator().manual_seed(steps)
    expected = found = torch.randn(2, 4, 4, 4, generator=generator)
    for _ in theirs.timesteps:
        start = torch.randn(2, 4, 4, 4, generator=generator)
        expected = theirs.step(start, 0, expected, return_dict=False)[0]
        found = ours.step(start, found)
        assert torch.equal(found, expected)
    assert torch.equal(found, start)  # nothing of the noise is left


@pytest.mark.parametrize(("solver", "steps"), [("euler", 5), ("ddim", 0), ("dpm++", 1001)])
def test_impossible_solvers_are_refused(solver: Any, steps: int) -> None:
    with pytest.raises(ValueError, match="no solver"):
        make_solver(solver, NoiseSchedule(), steps)
