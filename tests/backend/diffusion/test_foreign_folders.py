# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that others made: the half-precision conversion with its own UNet class, plain diffusers ones."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from backend.diffusion import load, save
from backend.diffusion.clip_tokenizer import ClipTokenizer
from backend.diffusion.convert import convert_file
from backend.errors import UserError

GOLDENS = Path(__file__).resolve().parents[2] / "data" / "goldens"
PREFIX = "model.diffusion_model."
WEIGHTS = "diffusion_pytorch_model.safetensors"
# What ashawkey's converter writes for tiny-v21 (its class takes only linear projections).
UNET_CONFIG = {
    "_class_name": "MultiViewUNetModel", "_diffusers_version": "0.27.2", "attention_resolutions": [2, 1],
    "camera_dim": 16, "channel_mult": [1, 2], "context_dim": 48, "image_size": 32, "in_channels": 4,
    "ip_dim": 0, "model_channels": 32, "num_head_channels": 16, "num_heads": -1, "num_res_blocks": 1,
    "out_channels": 4, "transformer_depth": 1, "use_checkpoint": False,
}  # fmt: skip
SCHEDULER = {
    "_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear", "prediction_type": "epsilon",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> Path:
    """A small folder in the layout of ashawkey/mvdream-sd2.1-diffusers, in half precision."""
    folder = tmp_path_factory.mktemp("hub") / "mvdream-tiny"
    stored = load_file(GOLDENS / "tiny-v21.safetensors")
    save(tiny("v21"), folder, dtype=torch.float16)  # its autoencoder is diffusers' own
    unet = {key[len(PREFIX) :]: value.half() for key, value in stored.items() if key.startswith(PREFIX)}
    save_file(unet, folder / "unet" / WEIGHTS)
    (folder / "unet" / "config.json").write_text(json.dumps(UNET_CONFIG))
    torch.manual_seed(0)
    config = CLIPTextConfig(
        hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3, hidden_act="gelu",
    )  # fmt: skip
    CLIPTextModel(config).half().save_pretrained(folder / "text_encoder")
    (folder / "tokenizer").mkdir()
    for name, text in ClipTokenizer.standard().files().items():
        (folder / "tokenizer" / name).write_text(text, encoding="utf-8")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "MVDreamPipeline"}))
    (folder / "mvdream.json").unlink()
    return folder


@pytest.fixture
def copy(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "copy")


def halves(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.half().float() for key, value in module.state_dict().items()}


def options(module) -> dict:
    """A diffusers module's configuration, without what it notes about itself."""
    return json.loads(json.dumps({key: value for key, value in module.config.items() if key[0] != "_"}))


def check(model, tiny) -> None:
    """That a model has tiny-v21's networks, rounded to half precision, and a tower that reads prompts."""
    for part in ("unet", "vae"):
        expected = halves(getattr(tiny("v21"), part))
        state = getattr(model, part).state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(value, expected[key]) for key, value in state.items())
        assert options(getattr(model, part)) == options(getattr(tiny("v21"), part))
    assert model.config.image_size == 256
    assert model.encode_prompts(["a red mug", ""]).shape == (2, 77, 48)


def test_the_half_precision_conversion_loads_and_converts(made, tiny, tmp_path) -> None:
    direct = load(made)
    check(direct, tiny)
    assert direct.config.name == "mvdream-tiny"
    convert_file(made, tmp_path / "ours", name="mine")
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == [
        "mvdream.json", "text_encoder", "tokenizer", "unet", "vae",
    ]  # fmt: skip
    model = load(tmp_path / "ours")
    check(model, tiny)
    assert model.config.name == "mine"
    prompts = ["a red mug", "it's 77!"]
    assert torch.equal(model.encode_prompts(prompts), direct.encode_prompts(prompts))
    stored = load_file(tmp_path / "ours" / "unet" / WEIGHTS)
    assert {value.dtype for value in stored.values()} == {torch.float16}


def test_parts_of_it(made) -> None:
    model = load(made, parts=("unet", "vae_encoder"), dtype=torch.bfloat16)
    assert list(model.parts) == ["unet", "vae"]
    assert model.vae.decoder is None
    assert model.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="vae decoder"):
        model.decode_latents(torch.zeros(1, 4, 8, 8))


def test_pickled_weights_and_older_names(copy, tiny) -> None:
    path = copy / "unet" / WEIGHTS
    torch.save(load_file(path), copy / "unet" / "diffusion_pytorch_model.bin")
    path.unlink()
    path = copy / "vae" / WEIGHTS
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(path)
    for new, name in old.items():
        weights = {
            key.replace(f"attentions.0.{new}", f"attentions.0.{name}"): v for key, v in weights.items()
        }
    assert any("proj_attn" in key for key in weights)
    save_file(weights, path)
    path = copy / "text_encoder" / "model.safetensors"
    bare = {key.removeprefix("text_model."): value for key, value in load_file(path).items()}
    prefixed = {f"text_model.{key}": value for key, value in bare.items()}
    save_file(prefixed | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, path)
    check(load(copy), tiny)


def test_a_plain_diffusers_folder(copy, tiny, tmp_path) -> None:
    for part in ("unet", "vae"):
        shutil.rmtree(copy / part)
    save(tiny("v21"), copy, dtype=torch.float16)
    (copy / "mvdream.json").unlink()
    check(load(copy), tiny)
    convert_file(copy, tmp_path / "ours")
    check(load(tmp_path / "ours"), tiny)


def test_our_own_folder_can_be_converted_again(tiny, tmp_path) -> None:
    convert_file(GOLDENS / "tiny-v21.safetensors", tmp_path / "a", config=GOLDENS / "tiny-v21.yaml")
    convert_file(tmp_path / "a", tmp_path / "half", dtype=torch.float16)
    state = load(tmp_path / "half").unet.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in halves(tiny("v21").unet).items())


def change(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_what_can_not_be_used_is_named(copy, tmp_path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            load(copy)
        with pytest.raises(UserError, match=message):
            convert_file(copy, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    scheduler, unet = copy / "scheduler" / "scheduler_config.json", copy / "unet" / "config.json"
    change(scheduler, prediction_type="v_prediction")
    refused("prediction_type 'v_prediction' is not supported")
    change(scheduler, prediction_type="epsilon")
    change(unet, ip_dim=16)
    refused("ImageDream")
    change(unet, ip_dim=0, num_head_channels=24)
    refused("num_head_channels 24 does not divide")
    change(unet, num_head_channels=16)
    weights = load_file(copy / "unet" / WEIGHTS)
    save_file({**weights, "lora.up": torch.zeros(1)}, copy / "unet" / WEIGHTS)
    refused(r"unet.*does not fit the config\.json beside it: unexpected lora\.up")
    save_file({k: v for k, v in weights.items() if k != "out.2.bias"}, copy / "unet" / WEIGHTS)
    refused(r"it lacks out\.2\.bias")
    save_file(weights, copy / "unet" / WEIGHTS)
    (copy / "vae" / "config.json").write_text("{")
    refused(r"vae/config\.json is broken")
    (copy / "vae" / WEIGHTS).unlink()
    refused(r"vae/diffusion_pytorch_model\.safetensors is missing")
    with pytest.raises(UserError, match="leave out"):
        convert_file(copy, tmp_path / "out", config=GOLDENS / "tiny-v21.yaml")
    with pytest.raises(UserError, match="no unet/"):
        convert_file(tmp_path / "copy" / "vae", tmp_path / "out")


@pytest.fixture
def plain(tiny, tmp_path) -> Path:
    """UNet and autoencoder in diffusers' own layout, with a scheduler."""
    folder = tmp_path / "plain"
    save(tiny("v21"), folder)
    (folder / "mvdream.json").unlink()
    (folder / "model_index.json").write_text("{}")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    return folder


def test_a_sample_size_of_two_sides(plain) -> None:
    change(plain / "unet" / "config.json", sample_size=[16, 16])
    size = 16 * 2 ** (len(json.loads((plain / "vae" / "config.json").read_text())["block_out_channels"]) - 1)
    assert load(plain, parts=("unet", "vae")).config.image_size == size


@pytest.mark.parametrize("size", [[32, 48], -32, "32", 1.5, [None, None]])
def test_a_sample_size_that_is_none_of_a_square(plain, size) -> None:
    change(plain / "unet" / "config.json", sample_size=size)
    with pytest.raises(UserError, match=r"unet/config\.json has the sample_size .* not supported"):
        load(plain, parts=("unet", "vae"))


def test_a_name_that_can_be_none_is_told(plain) -> None:
    with pytest.raises(UserError, match=r"can't be used: name: String should match"):
        convert_file(plain, plain.parent / "out", name="a b")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beta_schedule": None}, "beta_schedule 'linear' is not supported, only 'scaled_linear'"),
        ({"trained_betas": [0.1, 0.2]}, r"trained_betas \[0.1, 0.2\] is not supported, only None"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr True is not supported, only False"),
        ({"beta_end": "much"}, r"scheduler_config\.json is broken"),
    ],
)
def test_a_schedule_is_read_as_diffusers_reads_it(plain, options, said) -> None:
    path = plain / "scheduler" / "scheduler_config.json"
    # None stands for an option that is not there.
    path.write_text(json.dumps({k: v for k, v in (SCHEDULER | options).items() if v is not None}))
    with pytest.raises(UserError, match=said):
        load(plain, parts=("unet", "vae"))


def test_what_a_schedule_does_not_say_is_diffusers_default(plain) -> None:
    from diffusers import DDIMScheduler

    (plain / "scheduler" / "scheduler_config.json").write_text('{"beta_schedule": "scaled_linear"}')
    ours = load(plain, parts=("unet", "vae")).schedule.alphas_cumprod
    theirs = DDIMScheduler(beta_schedule="scaled_linear").alphas_cumprod
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_weights_in_several_files_are_told_from_weights_that_are_missing(plain) -> None:
    path = plain / "unet" / WEIGHTS
    shard = path.rename(path.with_name("diffusion_pytorch_model-00001-of-00002.safetensors"))
    path.with_name("diffusion_pytorch_model.safetensors.index.json").write_text("{}")
    for read in (lambda: load(plain), lambda: convert_file(shard, plain.parent / "out")):
        with pytest.raises(UserError, match=rf"several files \({shard.name}\).*max_shard_size"):
            read()
