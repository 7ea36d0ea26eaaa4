# SPDX-License-Identifier: GPL-3.0-or-later
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from training_toys import SIZE

from backend.diffusion import MultiViewDiffusion
from backend.training.sampling import contact_sheet, sample_views


def test_with_the_true_noise_sampling_finds_the_image(
    make_model: Callable[[], MultiViewDiffusion], monkeypatch: object
) -> None:
    model = make_model().freeze()
    start = torch.randn(8, *model.latent_shape, generator=torch.Generator().manual_seed(3))

    def true_noise(
        latents: Tensor, t: Tensor, context: Tensor, camera: Tensor, views: int, repeated: bool
    ) -> Tensor:
        assert (views, repeated) == (4, True)
        alpha = model.schedule.alphas_cumprod[t].view(-1, 1, 1, 1)
        return (latents - alpha.sqrt() * start.repeat(2, 1, 1, 1)) / (1 - alpha).sqrt()

    model.predict_noise = true_noise  # type: ignore[method-assign]
    images = sample_views(model, ["a red disc", "a blue square"], guidance_scale=7.0, steps=5)
    with torch.no_grad():
        expected = model.decode_latents(start).clamp(0, 1)
    assert images.shape == (2, 4, SIZE, SIZE, 3)
    torch.testing.assert_close(images.flatten(0, 1), expected, atol=2e-3, rtol=0)


def test_a_seed_gives_the_same_sample(make_model: Callable[[], MultiViewDiffusion]) -> None:
    model = make_model().freeze()
    first, again, other = (sample_views(model, ["a red disc"], steps=2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_contact_sheet_has_a_row_a_prompt() -> None:
    images = torch.zeros(2, 4, 8, 8, 3)
    images[1, 3] = 1.0
    sheet = np.asarray(contact_sheet(images, ["", ""], scale=2))
    assert sheet.shape == (2 * (16 + 16), 4 * 16, 3)
    assert (sheet[48:64, 48:64] == 255).all()
    assert (sheet[16:32] == 0).all()
