# SPDX-License-Identifier: GPL-3.0-or-later
"""Latents of a whole dataset over random backgrounds, so that the UNet's steps need no autoencoder."""

from collections.abc import Callable

import torch
from torch import Tensor

from backend.training.backgrounds import composite, random_colours
from backend.training.datasets import MultiViewDataset

Encode = Callable[[Tensor], Tensor]


class LatentCache:
    """Half-precision latents (K, S, 4, C, h, w) over K backgrounds a set, shared by its views.

    While training goes on, chunk after chunk is encoded anew over fresh backgrounds. The backgrounds of a
    chunk depend on the seed, the chunk and its round only, so a resumed run finds the very same latents.

    Args:
        encode: images (B, H, W, 3) in 0..1 -> scaled latents (B, C, h, w), without gradients.
        dataset: on the device that encodes.
        backgrounds: K.
        seed: of the backgrounds.
        refresh_every: steps between two chunks; 0 never refreshes.
        chunk: sets encoded at once.
    """

    def __init__(
        self,
        encode: Encode,
        dataset: MultiViewDataset,
        backgrounds: int,
        seed: int,
        refresh_every: int = 25,
        chunk: int = 256,
    ) -> None:
        self._encode, self._dataset, self._seed = encode, dataset, seed
        self._refresh_every, self._chunk = refresh_every, min(chunk, len(dataset))
        self._chunks_a_background = -(-len(dataset) // self._chunk)
        self._chunks = backgrounds * self._chunks_a_background
        self._rounds = [-1] * self._chunks
        sample = encode(composite(dataset.images[0], torch.zeros(4, 3, device=dataset.images.device)))
        self.latents = torch.empty(
            (backgrounds, len(dataset), *sample.shape), dtype=torch.float16, device=sample.device
        )

    def bring_up_to(self, step: int) -> None:
        """Puts the cache into the state it has before `step`: encodes whatever is not of its due round."""
        refreshed = step // self._refresh_every if self._refresh_every else 0
        full_rounds, further = divmod(refreshed, self._chunks)
        if min(self._rounds) == -1:
            for number in range(self._chunks):
                self._fill(number, full_rounds + (number < further))
        elif refreshed:
            # Called at every step, at most one chunk is due.
            number, due = (refreshed - 1) % self._chunks, (refreshed - 1) // self._chunks + 1
            if self._rounds[number] != due:
                self._fill(number, due)

    @torch.no_grad()
    def _fill(self, number: int, turn: int) -> None:
        background, first = divmod(number, self._chunks_a_background)
        part = slice(first * self._chunk, (first + 1) * self._chunk)
        images = self._dataset.images[part]
        device = images.device
        generator = torch.Generator(device).manual_seed((self._seed * 1_000_003 + number) * 1_000_003 + turn)
        colours = random_colours(len(images), device, generator).repeat_interleave(images.shape[1], dim=0)
        encoded = self._encode(composite(images.flatten(0, 1), colours))
        self.latents[background, part] = encoded.view(len(images), *self.latents.shape[2:]).half()
        self._rounds[number] = turn
