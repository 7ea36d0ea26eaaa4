# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks against the original code, and what holds for any weights."""

import pytest
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import TimestepEmbedding

from backend.diffusion.attention import CameraEmbedding, JoinedAttention

# name, latent, camera, views: the cases of unet_*.safetensors
CASES = [
    ("a_views4_8x8", "x_8x8", "cam_a", 4),
    ("b_views4_16x16", "x_16x16", "cam_a", 4),
    ("c_views4_mixed_t", "x_8x8", "cam_a", 4),
    ("d_2d_nocamera", "x_8x8", None, 1),
    ("e_2d_camera", "x_8x8", "cam_a", 1),
    ("f_views4_nocamera", "x_8x8", None, 4),
    ("g_views4_8x16", "x_8x16", "cam_a", 4),
    ("h_views8_8x8", "x_8x8", "cam_b", 8),
]
KINDS = ["v21", "v15"]


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("case", "latent", "camera", "views"), CASES)
def test_noise_prediction_is_the_originals(
    tiny, golden, relative_error, kind, case, latent, camera, views
) -> None:
    data = golden(f"unet_{kind}")
    eps = tiny(kind).predict_noise(
        data[latent], data[f"{case}.t"], data["context"], data[camera] if camera else None, views=views
    )
    assert relative_error(eps, data[f"{case}.eps"]) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["square", "wide"])
def test_autoencoder_is_the_originals(tiny, golden, relative_error, kind, shape) -> None:
    data, model = golden(f"vae_{kind}"), tiny(kind)
    images = (data[f"{shape}.image"].permute(0, 2, 3, 1) + 1) / 2
    assert relative_error(model.encode_images(images), 0.18215 * data[f"{shape}.mean"]) < 1e-5
    sample = model.encode_images(images, noise=data[f"{shape}.noise"])
    assert relative_error(sample, data[f"{shape}.latent_scaled"]) < 1e-5
    decoded = model.decode_latents(data[f"{shape}.z_in"]).permute(0, 3, 1, 2) * 2 - 1
    assert relative_error(decoded, data[f"{shape}.decoded"]) < 1e-5


def _noise(model, data, camera, views, rows=slice(None)):
    return model.predict_noise(
        data["x_8x8"][rows], data["c_views4_mixed_t.t"][rows], data["context"][rows], camera, views
    )


def test_views_of_different_objects_do_not_mix(tiny, golden) -> None:
    data, model = golden("unet_v21"), tiny("v21")
    together = _noise(model, data, data["cam_a"], 4)
    alone = _noise(model, data, data["cam_a"][4:], 4, slice(4, 8))
    torch.testing.assert_close(together[4:], alone, atol=1e-5, rtol=0)


def test_a_row_of_zeros_is_no_camera_for_that_image_alone(tiny, golden) -> None:
    data, model = golden("unet_v21"), tiny("v21")
    half = data["cam_a"].clone()
    half[::2] = 0
    mixed = _noise(model, data, half, 1)
    torch.testing.assert_close(mixed[::2], _noise(model, data, None, 1)[::2], atol=1e-5, rtol=0)
    torch.testing.assert_close(mixed[1::2], _noise(model, data, data["cam_a"], 1)[1::2], atol=1e-5, rtol=0)


def test_a_batch_that_is_not_whole_objects_is_refused(tiny, golden) -> None:
    with pytest.raises(ValueError, match="groups of 3 views"):
        _noise(tiny("v21"), golden("unet_v21"), None, 3)


def test_one_traced_graph_serves_every_input() -> None:
    # fullgraph refuses anything that depends on Python state, which CUDA graphs would not survive either.
    attention = Attention(query_dim=8, heads=2, dim_head=4, processor=JoinedAttention())
    embedding = CameraEmbedding(TimestepEmbedding(16, 8))
    graphs = []

    def keep(graph, _inputs):
        graphs.append(graph)
        return graph

    def step(tokens, camera):
        return attention(tokens + embedding(camera)[:, None], views=4)

    compiled = torch.compile(step, backend=keep, fullgraph=True)
    for camera in (torch.eye(4).flatten().repeat(8, 1), torch.zeros(8, 16)):
        tokens = torch.randn(8, 3, 8)
        torch.testing.assert_close(compiled(tokens, camera), step(tokens, camera))
    assert len(graphs) == 1
    torch._dynamo.reset()


def test_encoding_draws_from_the_generator_only_when_given_one(tiny, golden) -> None:
    images = (golden("vae_v21")["square.image"].permute(0, 2, 3, 1) + 1) / 2
    model = tiny("v21")
    draws = [model.encode_images(images, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(model.encode_images(images), model.encode_images(images))


def test_encoding_is_differentiable(tiny) -> None:
    with torch.enable_grad():
        images = torch.rand(1, 16, 16, 3, requires_grad=True)
        tiny("v21").encode_images(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0


def test_latent_shape_is_that_of_the_encoder(tiny) -> None:
    # 256 pixels, three halvings
    assert tiny("v21").latent_shape == (4, 32, 32)


def test_a_part_that_was_not_loaded_is_named(tiny) -> None:
    with pytest.raises(ValueError, match="without its text"):
        tiny("v21").encode_prompts(["a red mug"])
