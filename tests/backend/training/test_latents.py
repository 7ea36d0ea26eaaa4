# SPDX-License-Identifier: GPL-3.0-or-later
import torch
from torch import Tensor

from backend.training.datasets import MultiViewDataset
from backend.training.latents import LatentCache


def _corner(images: Tensor) -> Tensor:
    """An "encoder" that keeps the colour of the top left pixel, which is background everywhere."""
    return images[:, 0, 0, :, None, None]


def _cache(dataset: MultiViewDataset, seed: int = 1) -> LatentCache:
    # 10 sets in chunks of 4 over 2 backgrounds: 6 chunks, one renewed every 3 steps.
    return LatentCache(_corner, dataset, backgrounds=2, seed=seed, refresh_every=3, chunk=4)


def test_views_of_a_set_share_a_background_and_sets_do_not(
    datasets: tuple[MultiViewDataset, MultiViewDataset],
) -> None:
    cache = _cache(datasets[0])
    cache.bring_up_to(0)
    colours = cache.latents[..., 0, 0]
    assert cache.latents.shape == (2, 10, 4, 3, 1, 1)
    assert (colours == colours[:, :, :1]).all()
    assert len(torch.unique(colours[:, :, 0].flatten(0, 1), dim=0)) > 10


def test_one_chunk_is_renewed_at_a_time(datasets: tuple[MultiViewDataset, MultiViewDataset]) -> None:
    cache = _cache(datasets[0])
    cache.bring_up_to(0)
    before = cache.latents.clone()
    cache.bring_up_to(2)
    assert torch.equal(cache.latents, before)
    cache.bring_up_to(3)
    assert not torch.equal(cache.latents[0, :4], before[0, :4])
    assert torch.equal(cache.latents[0, 4:], before[0, 4:])
    assert torch.equal(cache.latents[1], before[1])


def test_a_resumed_run_finds_the_latents_of_the_uninterrupted_one(
    datasets: tuple[MultiViewDataset, MultiViewDataset],
) -> None:
    steady = _cache(datasets[0])
    for step in range(26):  # 8 renewals of 6 chunks: the second round has begun
        steady.bring_up_to(step)
    resumed = _cache(datasets[0])
    resumed.bring_up_to(25)
    assert torch.equal(steady.latents, resumed.latents)
    other = _cache(datasets[0], seed=2)
    other.bring_up_to(25)
    assert not torch.equal(other.latents, resumed.latents)
