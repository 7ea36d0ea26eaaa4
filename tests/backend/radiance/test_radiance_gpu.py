# SPDX-License-Identifier: GPL-3.0-or-later
import copy

import pytest
import torch

from backend.cameras import orbit_views, rays
from backend.radiance.dense_grid import DenseGrid
from backend.radiance.field import RadianceField
from backend.radiance.hash_grid import HashGrid
from backend.radiance.occupancy import OccupancyGrid
from backend.radiance.rendered import Rendered
from backend.radiance.rendering import render

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def make_field(encoding: str) -> RadianceField:
    generator = torch.Generator().manual_seed(0)
    if encoding == "dense":
        return RadianceField(DenseGrid((8, 16), init_scale=1.0, generator=generator), generator=generator)
    grid = HashGrid(6, 2, 12, 8, 128, init_scale=1.0, generator=generator)
    return RadianceField(grid, generator=generator)


def rendered(field: RadianceField, device: str) -> Rendered:
    views = orbit_views(2, elevation=20, distance=2.2, fov=45, device=device)
    origins, directions = (part.reshape(-1, 3) for part in rays(views.c2w, views.fov, 24, 24))
    occupancy = OccupancyGrid(resolution=24).to(device)
    occupancy.update(field)
    jitter = torch.rand(len(origins), generator=torch.Generator().manual_seed(1)).to(device)
    background = torch.tensor([0.2, 0.4, 0.6], device=device)
    # Kept in full, so that a sample on the edge of being dropped can't differ.
    return render(field, occupancy, origins, directions, background, samples=32, jitter=jitter, early_stop=0)


@pytest.mark.parametrize("encoding", ["dense", "hash"])
def test_image_and_gradients_are_those_of_the_cpu(encoding: str) -> None:
    field = make_field(encoding)
    on_gpu = copy.deepcopy(field).cuda()
    results = rendered(field, "cpu"), rendered(on_gpu, "cuda")
    # A float32 rounding can move a sample over the border of a cell: compare robustly.
    difference = (results[0].rgb - results[1].rgb.cpu()).abs()
    assert difference.mean() < 1e-3
    assert difference.median() < 1e-5
    for result in results:
        result.rgb.square().mean().backward()
    for (name, cpu), gpu in zip(field.named_parameters(), on_gpu.parameters(), strict=True):
        error = (cpu.grad - gpu.grad.cpu()).norm() / cpu.grad.norm()
        assert error < 2e-2, name


@pytest.mark.parametrize("encoding", ["dense", "hash"])
def test_early_stop_works_on_the_gpu(encoding: str) -> None:
    field = make_field(encoding).cuda()
    views = orbit_views(1, elevation=20, distance=2.2, fov=45, device="cuda")
    origins, directions = (part.reshape(-1, 3) for part in rays(views.c2w, views.fov, 16, 16))
    whole, stopped = (
        render(field, None, origins, directions, samples=64, early_stop=limit) for limit in (0, 1e-3)
    )
    assert stopped.samples <= whole.samples
    torch.testing.assert_close(stopped.rgb, whole.rgb, atol=2e-3, rtol=0)
