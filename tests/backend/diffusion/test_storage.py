# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: what is written is what is read, and each kind of damage is named."""

import shutil
import subprocess
import sys

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from backend.diffusion import MultiViewDiffusion, load, save
from backend.diffusion.config import ModelConfig
from backend.diffusion.text import TextEncoder
from backend.diffusion.tokenizer import WordTokenizer
from backend.errors import UserError


@pytest.fixture(scope="module")
def model() -> MultiViewDiffusion:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, cross_attention_dim=24,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=(2, 4), norm_num_groups=8,
        use_linear_projection=True, class_embed_type="projection", projection_class_embeddings_input_dim=16,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, scaling_factor=0.5,
    )  # fmt: skip
    tokenizer = WordTokenizer(["a", "red", "mug"], length=8)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=24, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=8, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )
    )  # fmt: skip
    config = ModelConfig(name="toy", image_size=16, guidance_scale=5)
    return MultiViewDiffusion(config, unet, vae, TextEncoder(text, tokenizer)).freeze()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "toy"
    save(model, path)
    return path


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_round_trip(model, folder) -> None:
    again = load(folder)
    assert again.config == model.config
    assert again.latent_shape == (4, 8, 8)
    for name, part in model.parts.items():
        state = again.parts[name].state_dict()
        assert all(torch.equal(value, state[key]) for key, value in part.state_dict().items())
    assert not any(p.requires_grad for part in again.parts.values() for p in part.parameters())
    assert not any(part.training for part in again.parts.values())
    prompts = ["a red mug", ""]
    context = again.encode_prompts(prompts)
    assert context.shape == (2, 8, 24)
    assert torch.equal(context, model.encode_prompts(prompts))
    with pytest.raises(UserError, match="'teapot'"):
        again.encode_prompts(["a teapot"])


def test_stock_libraries_read_the_folder(model, folder) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    assert torch.equal(unet.class_embedding.linear_1.weight, model.unet.class_embedding.linear_1.weight)
    text = CLIPTextModel.from_pretrained(folder / "text_encoder")
    assert torch.equal(text(model.text.tokenize(["a mug"]))[0], model.encode_prompts(["a mug"]))


def test_half_on_disk_is_cast_on_loading(model, tmp_path) -> None:
    (tmp_path / "README.md").write_text("card")
    save(model, tmp_path, dtype=torch.float16)
    stored = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    again = load(tmp_path)
    assert again.dtype == torch.float32
    key = "conv_in.weight"
    assert torch.equal(again.unet.state_dict()[key], model.unet.state_dict()[key].half().float())
    assert (tmp_path / "README.md").exists()
    assert not list(tmp_path.rglob("*.partial"))
    assert load(tmp_path, dtype=torch.bfloat16).encode_prompts(["a mug"]).dtype == torch.bfloat16


def test_half_precision_model_keeps_float32_around_it(folder) -> None:
    model = load(folder, dtype=torch.bfloat16)
    camera = torch.eye(4).flatten().expand(4, 16)
    with torch.no_grad():
        eps = model.predict_noise(
            torch.randn(4, 4, 8, 8), torch.full((4,), 500), torch.randn(4, 8, 24), camera
        )
        latents = model.encode_images(torch.rand(4, 16, 16, 3))
    assert eps.dtype == latents.dtype == torch.float32
    assert torch.isfinite(eps).all()
    assert model.schedule.alphas_cumprod.dtype == torch.float32


def test_parts(model, folder) -> None:
    only = load(folder, parts=["vae_encoder"])
    assert list(only.parts) == ["vae"]
    images = torch.rand(1, 16, 16, 3)
    torch.testing.assert_close(only.encode_images(images), model.encode_images(images))
    with pytest.raises(ValueError, match="vae decoder"):
        only.decode_latents(torch.zeros(1, 4, 8, 8))
    with pytest.raises(ValueError, match="unknown parts"):
        load(folder, parts=["decoder"])


def test_dropping_the_text_encoder(folder) -> None:
    model = load(folder, parts=["unet", "text"])
    model.drop_text_encoder()
    assert list(model.parts) == ["unet"]


@pytest.mark.parametrize(
    "file",
    [
        "mvdream.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/vocab.json",
    ],
)
def test_a_missing_or_broken_file_is_named(copy, file) -> None:
    path = copy / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"{path.name} is broken") as caught:
        load(copy)
    assert "download or convert it again" in str(caught.value)
    assert "Error" not in str(caught.value)
    path.unlink()
    with pytest.raises(UserError, match=rf"{path.name} is missing"):
        load(copy)


def test_settings_of_no_network_are_told_without_the_words_of_python(copy) -> None:
    (copy / "unet/config.json").write_text('{"block_out_channels": "x"}')
    with pytest.raises(
        UserError, match=r"unet/config\.json is broken: its settings describe no network\. Remove"
    ):
        load(copy)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(copy, value) -> None:
    (path,) = (copy / "unet").glob("*.safetensors")
    weights = load_file(path)
    weights["conv_in.weight"][0, 0, 0, 0] = value
    save_file(weights, path)
    with pytest.raises(UserError, match=r"unet.*is spoilt: conv_in.weight holds values that are not finite"):
        load(copy)
    assert load(copy, parts=("vae",)).unet is None


def test_weights_and_configuration_that_disagree(copy, folder) -> None:
    shutil.copy(folder / "vae/diffusion_pytorch_model.safetensors", copy / "unet")
    with pytest.raises(UserError, match=r"unet.* is broken: it lacks .* more"):
        load(copy)
    config = copy / "vae" / "config.json"
    config.write_text(config.read_text().replace('"latent_channels": 4', '"latent_channels": 5'))
    with pytest.raises(UserError, match=r"vae.* does not fit its config\.json: .* is \[.*\], not \["):
        load(copy, parts=["vae"])


def test_a_unet_without_camera_is_refused(copy) -> None:
    config = copy / "unet" / "config.json"
    config.write_text(config.read_text().replace('"projection"', "null"))
    with pytest.raises(UserError, match="no camera input"):
        load(copy)


def test_an_interrupted_save_is_not_a_model(model, tmp_path, monkeypatch) -> None:
    save(model, tmp_path)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backend.diffusion.storage.save_file", full)
    with pytest.raises(UserError, match="No space left"):
        save(model, tmp_path)
    with pytest.raises(UserError, match=r"mvdream\.json is missing"):
        load(tmp_path)


def test_light_modules_do_not_import_torch() -> None:
    code = (
        "import sys, backend.diffusion, backend.diffusion.config, backend.diffusion.registry,"
        " backend.commands.convert; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parts_may_have_their_own_precision() -> None:
    parts, half = ("unet", "vae", "tiny_vae"), dict.fromkeys(("unet", "tiny_vae", "text"), torch.bfloat16)
    plain, mixed = load("small", parts=parts), load("small", parts=parts, part_dtypes=half)
    assert (mixed.unet.dtype, mixed.vae.dtype, mixed.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    generator = torch.Generator().manual_seed(0)
    latents, context = torch.randn(4, 4, 16, 16, generator=generator), torch.zeros(4, 24, 128)
    camera, t = torch.randn(4, 16, generator=generator), torch.full((4,), 500)
    noise, same = (model.predict_noise(latents, t, context, camera) for model in (plain, mixed))
    assert same.dtype == torch.float32
    assert 0 < (same - noise).norm() / noise.norm() < 0.02
    images = torch.rand(1, 64, 64, 3, generator=generator)
    assert torch.equal(mixed.encode_images(images), plain.encode_images(images))
    latents, same = (model.encode_images_tiny(images) for model in (plain, mixed))
    assert same.dtype == torch.float32
    assert 0 < (same - latents).norm() / latents.norm() < 0.02
