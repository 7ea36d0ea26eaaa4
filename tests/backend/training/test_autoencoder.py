# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
import torch
from torch import Tensor, nn
from training_toys import TINY_VAE

from backend.training.architecture import build_autoencoder
from backend.training.autoencoder import (
    AutoencoderOptions,
    AutoencoderTask,
    divergence,
    latent_statistics,
    reconstruction_loss,
    reconstruction_quality,
)
from backend.training.average import MovingAverage
from backend.training.datasets import MultiViewDataset
from backend.training.stepper import Stepper


def test_reconstruction_loss_by_hand() -> None:
    target = torch.zeros(1, 1, 2, 2)
    output = torch.tensor([[[[0.1, 0.0], [0.0, 0.0]]]])
    weight = torch.tensor([[[[3.0, 1.0], [1.0, 2.0]]]])
    pixelwise = 3 * (0.1 + 5 * 0.01) / 4
    # One of two differences in each direction is 0.1; each is weighted by its second pixel.
    gradient = 0.1 / 2 + 0.1 / 2
    assert reconstruction_loss(output, target, weight).item() == pytest.approx(pixelwise + 0.5 * gradient)


def test_divergence_by_hand() -> None:
    assert divergence(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0
    # KL(N(2, e) || N(0, 1)) = (4 + e - 1 - 1) / 2
    result = divergence(torch.full((1, 1), 2.0), torch.ones(1, 1))
    assert result.item() == pytest.approx((2 + math.e) / 2)


class _Shifted(nn.Module):
    """An "autoencoder" that returns its input, brighter by 0.2 in -1..1."""

    def encode(self, pixels: Tensor) -> "_Shifted":
        self.latent_dist = self
        self.mean = pixels
        return self

    def decode(self, latents: Tensor) -> "_Shifted":
        self.sample = latents + 0.2
        return self


def test_quality_in_decibel_by_hand() -> None:
    rgba = torch.full((3, 4, 4, 4), 100, dtype=torch.uint8)
    rgba[..., 3] = 255
    quality = reconstruction_quality(_Shifted(), rgba, seed=0)  # type: ignore[arg-type]
    # An error of 0.1 in 0..1 is 20 dB.
    assert quality == pytest.approx({"psnr": 20.0, "psnr_foreground": 20.0}, abs=1e-3)


def test_statistics_of_latents() -> None:
    rgba = torch.zeros(4, 2, 2, 4, dtype=torch.uint8)
    rgba[..., 3] = 255
    rgba[::2, ..., :3] = 255  # half black, half white: -1 and 1
    vae = _Shifted()
    mean, deviation = latent_statistics(vae, rgba, seed=0, count=4000)  # type: ignore[arg-type]
    assert -1 <= mean <= 1
    assert deviation <= 1.1


def test_it_learns(datasets: tuple[MultiViewDataset, MultiViewDataset]) -> None:
    torch.manual_seed(0)
    task = AutoencoderTask(build_autoencoder(TINY_VAE), *datasets, AutoencoderOptions(batch=8))
    stepper = Stepper(task, 4e-3, MovingAverage(task.trained, task.averaged, 0.8), speed="eager")
    before = task.validate()["psnr_foreground"]
    for _ in range(60):
        stepper.step("only")
    assert task.validate()["psnr_foreground"] > before + 4
