# SPDX-License-Identifier: GPL-3.0-or-later
"""Score distillation against the original code, and by hand."""

from types import SimpleNamespace

import pytest
import torch

from backend.cameras import orbit_views
from backend.diffusion.schedule import NoiseSchedule
from backend.guidance import ScoreDistillation, anneal, draw_step, rescale_start


def _resized(model, side):
    """The tiny network as if it had been trained on images of another size."""
    from backend.diffusion import MultiViewDiffusion

    config = model.config.model_copy(update={"image_size": side})
    return MultiViewDiffusion(config, model.unet, model.vae)


@pytest.mark.parametrize(("name", "side"), [("recon0.5_2groups_64", 64), ("recon0.5_256", 256)])
def test_a_full_step_is_the_originals(tiny, golden, relative_error, name, side) -> None:
    data = golden(f"guidance_{name}")
    distil = ScoreDistillation(_resized(tiny("v21"), side), data["text_cond"], data["text_uncond"], 50.0)
    images = data["rgb"].clone().requires_grad_()
    c2w = data["c2w"].clone()
    guidance = distil(images, c2w, data["t"], noise=data["noise"], vae_noise=data["vae_noise"])

    assert relative_error(guidance.loss.detach().reshape(1), data["loss"]) < 1e-5
    assert relative_error(guidance.latents.detach(), data["latents"]) < 1e-5
    assert relative_error(guidance.gradient, data["grad_latents"]) < 5e-5
    grad_latents, grad_images = torch.autograd.grad(guidance.loss, [guidance.latents, images])
    assert relative_error(grad_latents, data["grad_latents"]) < 5e-5
    assert relative_error(grad_images, data["grad_rgb"]) < 5e-5
    assert torch.equal(c2w, data["c2w"])  # the original changes its argument

    with torch.no_grad():
        steps = data["t"].expand(len(images))
        eps_text, eps = distil.guided_noise(data["latents_noisy"], steps, c2w)
    assert relative_error(eps_text, data["eps_text"]) < 3e-5
    expected = data["eps_uncond"] + 50 * (data["eps_text"] - data["eps_uncond"])
    assert relative_error(eps, expected) < 3e-4  # 50 times the difference of two predictions


class FakeModel:
    """Latents are the images' first channel; the noise is the context's one number, whatever the input."""

    config = SimpleNamespace(image_size=2, views=2)
    latent_shape = (1, 2, 2)
    schedule = NoiseSchedule()

    def __init__(self) -> None:
        self.calls = []

    def encode_images(self, images, noise=None):
        return images[..., :1].permute(0, 3, 1, 2) + noise

    def predict_noise(self, latents, timesteps, context, camera, views, repeated=False):
        self.calls.append((latents, timesteps, context, camera, views))
        rows = context.reshape(-1, 1, 1, 1).repeat_interleave(len(latents) // len(context), 0)
        return rows.expand_as(latents)


def _fake(mode, rescale=0.5, scale=3.0):
    model = FakeModel()
    text, negative = torch.full((1, 1, 1), 2.0), torch.full((1, 1, 1), 1.0)
    return model, ScoreDistillation(model, text, negative, scale, rescale, mode)


def test_the_small_encoder_is_asked_instead_and_changes_nothing_else_that_is_random() -> None:
    model, distil = _fake("x0", rescale=0)
    asked = []

    def encode_images_tiny(images):
        asked.append(images.shape)
        return model.encode_images(images, noise=torch.zeros(2, 1, 2, 2))

    model.encode_images_tiny = encode_images_tiny
    images, c2w = torch.rand(2, 4, 4, 3), orbit_views(2, 15, 2, 40).c2w
    tiny = distil(images, c2w, 600, generator=torch.Generator().manual_seed(1), tiny=True)
    assert asked == [(2, 2, 2, 3)]  # resized first
    own = distil(images, c2w, 600, generator=torch.Generator().manual_seed(1))
    assert len(asked) == 1
    assert not torch.equal(own.latents, tiny.latents)  # the model's own are sampled
    noises = []
    for guidance, (latents, steps, *_) in zip((tiny, own), model.calls, strict=True):
        clean = model.schedule.add_noise(guidance.latents, torch.zeros(2, 1, 2, 2), steps[:2])
        noises.append(latents[:2] - clean)
    torch.testing.assert_close(*noises)


def test_sds_by_hand() -> None:
    model, distil = _fake("sds")
    images = torch.rand(2, 2, 2, 3, requires_grad=True)
    zeros, noise = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 0.5)
    c2w = orbit_views(2, 15, 2, 40).c2w
    guidance = distil(images, c2w, 600, noise=noise, vae_noise=zeros)
    # eps = 1 + 3 (2 - 1) = 4, so each of the 2 x 4 latents has g = w (4 - 0.5), and the batch is 2
    weight = 1 - float(model.schedule.alphas_cumprod[600])
    torch.testing.assert_close(guidance.gradient, torch.full((2, 1, 2, 2), weight * 3.5 / 2))
    torch.testing.assert_close(guidance.loss, torch.tensor(0.5 * 8 * (weight * 3.5) ** 2 / 2))
    guidance.loss.backward()
    torch.testing.assert_close(images.grad[..., 0], torch.full((2, 2, 2), weight * 3.5 / 2))

    ((latents, timesteps, context, camera, views),) = model.calls
    assert (latents.shape[0], views) == (4, 2)
    assert timesteps.tolist() == [600] * 4
    assert context.flatten().tolist() == [2, 1]  # one for all views: prompt first, then the negative prompt
    assert torch.equal(camera[:2], camera[2:])


def test_x0_by_hand_without_rescale() -> None:
    model, distil = _fake("x0", rescale=0.0)
    images, zeros = torch.zeros(2, 2, 2, 3), torch.zeros(2, 1, 2, 2)
    guidance = distil(images, orbit_views(2, 15, 2, 40).c2w, torch.tensor(600), noise=zeros, vae_noise=zeros)
    # x_t = 0, so x0 = -4 sqrt(1 / alpha_bar - 1)
    start = -4 * (1 / float(model.schedule.alphas_cumprod[600]) - 1) ** 0.5
    torch.testing.assert_close(guidance.target, torch.full((2, 1, 2, 2), start))


def test_randomness_comes_from_the_generator_in_order() -> None:
    _, distil = _fake("x0", rescale=0.0)
    images, c2w = torch.rand(2, 2, 2, 3), orbit_views(2, 15, 2, 40).c2w
    drawn = distil(images, c2w, 500, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    vae_noise, noise = (torch.randn(2, 1, 2, 2, generator=generator) for _ in range(2))
    given = distil(images, c2w, 500, noise=noise, vae_noise=vae_noise)
    assert torch.equal(drawn.latents, given.latents)
    assert torch.equal(drawn.target, given.target)


def test_images_are_resized_bilinearly() -> None:
    _, distil = _fake("x0")
    # 4 x 4 to 2 x 2 without align_corners averages each 2 x 2 block
    images = torch.arange(16.0).reshape(1, 4, 4, 1).expand(2, 4, 4, 3)
    latents = distil.encode(images, torch.zeros(2, 1, 2, 2))
    torch.testing.assert_close(latents[0, 0], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))


def test_rescale_is_per_object_over_all_its_views() -> None:
    # Object 0: guided has twice the spread of plain; object 1: half of it.
    plain = torch.tensor([0.0, 1, 2, 3, 0, 4, 8, 12]).reshape(4, 1, 1, 2)
    guided = plain * torch.tensor([2.0, 2, 0.5, 0.5]).reshape(4, 1, 1, 1)
    factors = (rescale_start(guided, plain, 0.5, views=2) / guided).nan_to_num(posinf=0)
    # 0.5 * (1/2) + 0.5 = 0.75 and 0.5 * 2 + 0.5 = 1.5
    torch.testing.assert_close(factors.flatten()[[1, 2, 3, 5, 6, 7]], torch.tensor([0.75] * 3 + [1.5] * 3))
    torch.testing.assert_close(rescale_start(guided, plain, 1.0, views=2), plain)
    assert torch.equal(rescale_start(guided, plain, 0.0, views=2), guided)


@pytest.mark.parametrize(
    ("step", "low", "high"),
    [
        (0, 980, 980), (10, 978, 979), (1000, 860, 919), (2500, 679, 830), (4000, 500, 740),
        (5000, 380, 679), (7999, 20, 500), (8000, 20, 500), (9999, 20, 500),
    ],
)  # fmt: skip
def test_annealing_is_the_originals(step, low, high) -> None:
    assert anneal(step) == (low, high)


def test_annealing_over_other_spans() -> None:
    assert anneal(50, steps=100, start=0.9, low_end=0.1, high_end=0.5) == (500, 700)
    assert anneal(3, steps=2, start=1.0, low_end=0.0, high_end=0.5, schedule_steps=10) == (0, 5)


def test_steps_are_drawn_from_the_whole_range() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = {int(draw_step((3, 6), generator)) for _ in range(100)}
    assert drawn == {3, 4, 5, 6}
    assert draw_step((7, 7)).tolist() == [7]


def test_misuse_is_refused() -> None:
    context = torch.zeros(1, 4, 8)
    with pytest.raises(ValueError, match="mode"):
        ScoreDistillation(FakeModel(), context, context, 7.5, mode="sdx")
    with pytest.raises(ValueError, match="contexts"):
        ScoreDistillation(FakeModel(), context, context[0], 7.5)


def test_all_noise_is_the_last_step_of_the_schedule() -> None:
    assert anneal(0, 100, start=1.0) == (999, 999)
    assert anneal(100, 100, high_end=1.0) == (20, 999)
    assert anneal(0, 100, start=0.98, schedule_steps=500) == (490, 490)
