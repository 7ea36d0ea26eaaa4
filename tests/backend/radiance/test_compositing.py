# SPDX-License-Identifier: GPL-3.0-or-later
import math

import pytest
import torch

from backend.radiance.compositing import transmittance, volume_weights


def test_by_hand() -> None:
    density, length = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[0.5, 1.0, 0.25]])
    torch.testing.assert_close(
        transmittance(density * length), torch.tensor([[1, math.exp(-0.5), math.exp(-0.5)]])
    )
    expected = torch.tensor([[1 - math.exp(-0.5), 0, math.exp(-0.5) * (1 - math.exp(-0.5))]])
    torch.testing.assert_close(volume_weights(density, length), expected)


def test_enormous_densities_stay_finite() -> None:
    density = torch.tensor([[1e6, 1e6, 0.0]], requires_grad=True)
    weights = volume_weights(density, 1.0)
    weights.sum().backward()
    assert weights.tolist() == [[1, 0, 0]]
    assert torch.isfinite(density.grad).all()


def test_reference_values_and_gradients(golden) -> None:
    g = golden("volrend")
    close = {"atol": 1e-12, "rtol": 0}
    sigmas, rgbs, background = (g[name].clone().requires_grad_() for name in ("sigmas", "rgbs", "bg_color"))
    length = g["t_ends"] - g["t_starts"]
    weights = volume_weights(sigmas, length)
    torch.testing.assert_close(transmittance(sigmas * length), g["transmittance"], **close)
    torch.testing.assert_close(weights, g["weights"], **close)
    opacity = weights.sum(1, keepdim=True)
    torch.testing.assert_close(opacity, g["opacity"], **close)
    depth = (weights * (g["t_starts"] + g["t_ends"]) / 2).sum(1, keepdim=True)
    torch.testing.assert_close(depth, g["depth"], **close)
    rgb = (weights[..., None] * rgbs).sum(1) + (1 - opacity) * background
    torch.testing.assert_close(rgb, g["comp_rgb"], **close)
    (rgb * g["grad_probe"]).sum().backward()
    for leaf, name in ((sigmas, "grad_sigmas"), (rgbs, "grad_rgbs"), (background, "grad_bg")):
        torch.testing.assert_close(leaf.grad, g[name], **close)


@pytest.mark.parametrize("optical_depth", [0.1, 3.0])
def test_a_constant_medium_follows_beer_and_lambert(optical_depth: float) -> None:
    density = torch.full((1, 10), optical_depth / 10)
    assert volume_weights(density, 1.0).sum().item() == pytest.approx(1 - math.exp(-optical_depth), rel=1e-5)
