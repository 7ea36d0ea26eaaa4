# SPDX-License-Identifier: GPL-3.0-or-later
import torch

from backend.diffusion import NoiseSchedule
from backend.diffusion.config import ScheduleConfig


def test_two_steps_by_hand() -> None:
    # sqrt(beta) runs from 0.5 to 0.6: beta = 0.25, 0.36; alpha_bar = 0.75, 0.75 * 0.64 = 0.48
    schedule = NoiseSchedule(ScheduleConfig(linear_start=0.25, linear_end=0.36, steps=2))
    torch.testing.assert_close(schedule.alphas_cumprod, torch.tensor([0.75, 0.48]))
    x0, noise = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    x_t = schedule.add_noise(x0, noise, torch.tensor([1]))
    torch.testing.assert_close(x_t, torch.tensor([[2 * 0.48**0.5 - 0.52**0.5]]))
    torch.testing.assert_close(schedule.predict_start(x_t, noise, torch.tensor([1])), x0)
    torch.testing.assert_close(schedule.one_minus_alpha_bar(torch.tensor(0), x0), torch.tensor([[0.25]]))


def test_tables_and_arithmetic_are_the_originals(golden, relative_error) -> None:
    data, schedule = golden("schedule"), NoiseSchedule()
    assert torch.equal(schedule.alphas_cumprod, data["buffer.alphas_cumprod"])
    for row, t in enumerate(data["t"]):
        noisy = schedule.add_noise(data["x0"], data["noise"], t)
        assert relative_error(noisy, data["q_sample"][row]) < 1e-6
        start = schedule.predict_start(data["x_t"], data["eps"], t)
        assert relative_error(start, data["predict_start_from_noise"][row]) < 1e-6
    t = data["t_vector"]
    noisy = schedule.add_noise(data["x0"], data["noise"], t)
    assert relative_error(noisy, data["q_sample_vector"]) < 1e-6
    start = schedule.predict_start(data["x_t"], data["eps"], t)
    assert relative_error(start, data["predict_start_from_noise_vector"]) < 1e-6


def test_halves_do_not_lose_the_schedule(tiny) -> None:
    assert tiny("v21").schedule.alphas_cumprod.dtype == torch.float32
