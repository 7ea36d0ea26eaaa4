# SPDX-License-Identifier: GPL-3.0-or-later
"""The fused kernels against the general renderer: samples, pictures, and every gradient.

On a GPU; or on a CPU in Triton's interpreter (TRITON_INTERPRET=1), which takes minutes.
"""

import copy
import os

import pytest
import torch
from torch import Tensor

from backend.cameras import orbit_views, rays
from backend.gpu_errors import is_shortage
from backend.radiance.field import DensityActivation, RadianceField
from backend.radiance.hash_grid import HashGrid
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendered import Rendered
from backend.radiance.rendering import march as plain_march
from backend.radiance.rendering import render

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIDE = 16

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (torch.cuda.is_available() or INTERPRETED), reason="needs a CUDA device"),
]


@pytest.fixture(autouse=True)
def needs_triton() -> None:
    pytest.importorskip("triton")


def make_fields(levels: int = 5, hidden: int = 16) -> tuple[RadianceField, RadianceField]:
    """One for PyTorch and its twin for the kernels; the table holds what half precision can."""
    generator = torch.Generator().manual_seed(0)
    grid = HashGrid(levels, 2, 10, 4, 64, init_scale=0.5, generator=generator, kernels="torch")
    grid.table.data = grid.table.data.half().float()
    activation = DensityActivation(1.3, 1.1, 6.0, 0.5)
    plain = RadianceField(grid, 1.0, hidden, activation, generator, bias=False).to(DEVICE)
    fast = copy.deepcopy(plain)
    fast.encoding.kernels = "triton"
    return plain, fast


def make_rays() -> tuple[Tensor, Tensor, Tensor]:
    views = orbit_views(2, elevation=20, distance=2.2, fov=45, device=DEVICE)
    origins, directions = (part.reshape(-1, 3) for part in rays(views.c2w, views.fov, SIDE, SIDE))
    jitter = torch.rand(len(origins), generator=torch.Generator().manual_seed(1)).to(DEVICE)
    return origins, directions, jitter


def make_occupancy(field: RadianceField) -> OccupancyGrid:
    occupancy = OccupancyGrid(resolution=16).to(DEVICE)
    occupancy.update(field)
    return occupancy


def error(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).norm() / expected.norm()).detach())


def test_march_finds_the_same_samples() -> None:
    from backend.radiance.fused.marching import march

    plain, _ = make_fields()
    origins, directions, jitter = make_rays()
    for occupancy in (None, make_occupancy(plain)):
        found = march(1.0, occupancy, origins, directions, 24, jitter)
        expected = plain_march(1.0, occupancy, origins, directions, 24, jitter)
        # Rounding can move a sample over the border of a cell.
        assert abs(len(found.t) - len(expected.slot)) <= 3
        if len(found.t) == len(expected.slot):
            assert torch.equal(found.ray.long(), expected.ray)
            torch.testing.assert_close(found.t, expected.t.reshape(-1)[expected.slot], atol=1e-5, rtol=0)
        assert found.first[-1] == len(found.t)


@pytest.mark.parametrize("normals", ["none", "analytic"])
@pytest.mark.parametrize("early_stop", [0.0, 0.2])
def test_pictures_and_gradients_are_those_of_the_general_renderer(normals: str, early_stop: float) -> None:
    generator = torch.Generator().manual_seed(2)
    origins, directions, jitter = make_rays()
    to_rgb, to_opacity = (torch.randn(len(origins), n, generator=generator).to(DEVICE) for n in (3, 1))

    def loss(seen: Rendered) -> Tensor:
        total = (seen.rgb * to_rgb).sum() + (seen.opacity * to_opacity[:, 0]).sum()
        if seen.normals is not None:
            x, _, z = seen.normals.unbind(1)
            total = total + (seen.weights * (x + z.square())).sum()
        return total

    results = []
    for field in make_fields():
        occupancy = make_occupancy(make_fields()[0])
        seen = render(
            field, occupancy, origins, directions, None, 24, jitter, early_stop, normals=normals, width=SIDE
        )
        loss(seen).backward()
        results.append((seen, dict(field.named_parameters())))
    (plain, expected), (fast, found) = results
    assert abs(int(fast.samples) - int(plain.samples)) <= 0.01 * int(plain.samples)
    tolerance = 1e-4 if INTERPRETED else 1e-2
    for name in ("rgb", "opacity", "depth"):
        assert error(getattr(fast, name), getattr(plain, name)) < tolerance, name
    for name, parameter in expected.items():
        assert found[name].grad is not None
        assert error(found[name].grad, parameter.grad) < 3e-2, name


def test_light_falls_the_same_way() -> None:
    origins, directions, jitter = make_rays()

    def shade(colour: Tensor, normals: Tensor | None, points: Tensor, ray: Tensor) -> Tensor:
        assert normals is not None
        return colour * (normals * torch.nn.functional.normalize(points - origins[ray], dim=1)).sum(1, True)

    plain, fast = (
        render(field, None, origins, directions, None, 16, jitter, normals="analytic", shade=shade).rgb
        for field in make_fields()
    )
    assert error(fast, plain) < 1e-2


@pytest.mark.parametrize(("levels", "hidden"), [(1, 8), (16, 64), (18, 24)])
def test_points_alone(levels: int, hidden: int) -> None:
    plain, fast = make_fields(levels, hidden)
    x = torch.rand(100, 3, generator=torch.Generator().manual_seed(3)).to(DEVICE) * 2.2 - 1.1
    with torch.no_grad():
        expected, found = plain(x), fast(x)
    assert fast.fused
    for a, b in zip(found, expected, strict=True):
        assert error(a, b) < 1e-2
    assert found[0][x.norm(dim=1) > 1].abs().max() == 0
    with torch.no_grad():
        assert torch.equal(fast.density(x), found[0])


def test_rays_that_hit_nothing() -> None:
    _, fast = make_fields()
    origins = torch.tensor([[0.0, -3.0, 2.0]], device=DEVICE)
    directions = torch.tensor([[0.0, 1.0, 0.0]], device=DEVICE)
    seen = render(fast, None, origins, directions, torch.tensor([0.1, 0.2, 0.3], device=DEVICE), 16)
    seen.rgb.sum().backward()
    torch.testing.assert_close(seen.rgb.detach().cpu(), torch.tensor([[0.1, 0.2, 0.3]]))
    assert fast.encoding.table.grad.abs().max() == 0


def test_a_density_of_almost_nothing_keeps_its_digits() -> None:
    plain, fast = make_fields()
    for field in (plain, fast):
        field.activation = DensityActivation(1.0, 0.01, 20.0, 0.5)
    x = torch.tensor([[0.99, 0.0, 0.0], [0.0, 0.95, 0.0]], device=DEVICE)
    with torch.no_grad():
        found, expected = fast.density(x), plain.density(x)
    assert 0 < expected.max() < 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=0)


def test_more_samples_than_can_be_numbered_are_short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.radiance.fused import marching

    origins, directions, jitter = make_rays()
    monkeypatch.setattr(marching, "_MOST", 10)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        marching.march(1.0, None, origins, directions, 24, jitter)
    assert is_shortage(caught.value)
