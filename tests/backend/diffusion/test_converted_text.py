# SPDX-License-Identifier: GPL-3.0-or-later
"""Text towers of both kinds, against a plain second implementation, and every published key of theirs."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from backend.diffusion import load
from backend.diffusion.clip_tokenizer import VOCABULARY_SIZE
from backend.diffusion.convert import convert_file
from backend.diffusion.original.config import TextOptions
from backend.diffusion.original.text_tower import text_tower
from backend.errors import UserError

DATA = Path(__file__).resolve().parents[2] / "data"
GOLDEN = DATA / "goldens" / "tiny-v21.safetensors"
WIDTH, LAYERS, LENGTH = 48, 3, 77  # 48 is the context of the golden UNet
EMBEDDERS = "mvdream.ldm.modules.encoders.modules."


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape) * (0.5 / shape[-1] ** 0.5 if len(shape) > 1 else 0.2)


def open_clip_weights() -> dict[str, torch.Tensor]:
    weights = {
        "positional_embedding": noise(LENGTH, WIDTH),
        "token_embedding.weight": torch.randn(VOCABULARY_SIZE, WIDTH),
        "ln_final.weight": 1 + noise(WIDTH), "ln_final.bias": noise(WIDTH),
        "text_projection": noise(WIDTH, WIDTH), "logit_scale": torch.tensor(2.6),
    }  # fmt: skip
    for layer in range(LAYERS):
        block = f"transformer.resblocks.{layer}."
        for norm in ("ln_1", "ln_2"):
            weights |= {f"{block}{norm}.weight": 1 + noise(WIDTH), f"{block}{norm}.bias": noise(WIDTH)}
        weights |= {
            block + "attn.in_proj_weight": noise(3 * WIDTH, WIDTH) * 4,
            block + "attn.in_proj_bias": noise(3 * WIDTH),
            block + "attn.out_proj.weight": noise(WIDTH, WIDTH), block + "attn.out_proj.bias": noise(WIDTH),
            block + "mlp.c_fc.weight": noise(4 * WIDTH, WIDTH) * 4, block + "mlp.c_fc.bias": noise(4 * WIDTH),
            block + "mlp.c_proj.weight": noise(WIDTH, 4 * WIDTH), block + "mlp.c_proj.bias": noise(WIDTH),
        }  # fmt: skip
    return weights


def clip_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same network under the names of transformers' CLIP."""
    names = {
        "positional_embedding": "embeddings.position_embedding.weight",
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "ln_final.weight": "final_layer_norm.weight", "ln_final.bias": "final_layer_norm.bias",
    }  # fmt: skip
    leaves = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    found = {new: weights[old] for old, new in names.items()}
    for layer in range(LAYERS):
        old, new = f"transformer.resblocks.{layer}.", f"encoder.layers.{layer}."
        for kind in ("weight", "bias"):
            found |= {f"{new}{b}.{kind}": weights[f"{old}{a}.{kind}"] for a, b in leaves.items()}
            found[f"{new}self_attn.out_proj.{kind}"] = weights[f"{old}attn.out_proj.{kind}"]
            for part, letter in zip(weights[f"{old}attn.in_proj_{kind}"].chunk(3), "qkv", strict=True):
                found[f"{new}self_attn.{letter}_proj.{kind}"] = part.clone()
    return {**found, "embeddings.position_ids": torch.arange(LENGTH)[None]}


def reference(
    weights: dict[str, torch.Tensor], ids: torch.Tensor, layers: int, heads: int, gelu
) -> torch.Tensor:
    """The first `layers` of a pre-norm causal transformer, then the final layer norm."""

    def norm(x: torch.Tensor, key: str) -> torch.Tensor:
        return F.layer_norm(x, (WIDTH,), weights[key + ".weight"], weights[key + ".bias"])

    def linear(x: torch.Tensor, key: str, dot: str = ".") -> torch.Tensor:
        return x @ weights[f"{key}{dot}weight"].T + weights[f"{key}{dot}bias"]

    x = weights["token_embedding.weight"][ids] + weights["positional_embedding"]
    hidden = torch.full((LENGTH, LENGTH), float("-inf")).triu(1)
    for layer in range(layers):
        block = f"transformer.resblocks.{layer}."
        q, k, v = linear(norm(x, block + "ln_1"), block + "attn.in_proj", "_").chunk(3, -1)
        q, k, v = (y.unflatten(-1, (heads, -1)).transpose(1, 2) for y in (q, k, v))
        scores = q @ k.transpose(-1, -2) / (WIDTH / heads) ** 0.5 + hidden
        x = x + linear((scores.softmax(-1) @ v).transpose(1, 2).flatten(2), block + "attn.out_proj")
        x = x + linear(gelu(linear(norm(x, block + "ln_2"), block + "mlp.c_fc")), block + "mlp.c_proj")
    return norm(x, "ln_final")


@pytest.fixture(scope="module")
def tower() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return open_clip_weights()


@pytest.fixture
def make(tmp_path, tower):
    """make(embedder, **options): converts the golden network with a tower; the model's folder."""

    def run(embedder: str, heads: int, **options: str) -> Path:
        clip = embedder == "FrozenCLIPEmbedder"
        prefix = "cond_stage_model." + ("transformer.text_model." if clip else "model.")
        text = clip_weights(tower) if clip else tower
        weights = load_file(GOLDEN) | {prefix + key: value for key, value in text.items()}
        save_file(weights, tmp_path / "tower.safetensors")
        config = yaml.safe_load(GOLDEN.with_suffix(".yaml").read_text())
        section = {"target": EMBEDDERS + embedder, "params": {"heads": heads, "freeze": True, **options}}
        config["model"]["params"]["cond_stage_config"] = section
        (tmp_path / "tower.yaml").write_text(yaml.safe_dump(config))
        convert_file(tmp_path / "tower.safetensors", tmp_path / "out", config=tmp_path / "tower.yaml")
        return tmp_path / "out"

    return run


@pytest.mark.parametrize(
    ("embedder", "options", "layers", "heads", "gelu", "pad"),
    [
        ("FrozenOpenCLIPEmbedder", {"layer": "penultimate"}, LAYERS - 1, 3, F.gelu, 0),
        ("FrozenOpenCLIPEmbedder", {}, LAYERS, 6, F.gelu, 0),
        ("FrozenCLIPEmbedder", {}, LAYERS, 4, lambda x: x * torch.sigmoid(1.702 * x), 49407),
    ],
)
def test_prompts_become_what_the_original_tower_makes_of_them(
    make, tower, relative_error, embedder, options, layers, heads, gelu, pad
) -> None:
    folder = make(embedder, heads, **options)
    model = load(folder, parts=("text",))
    prompts = ["a red mug, 3d asset", ""]
    # start, a, red, mug, ",", 3, d, asset, end, by the published vocabulary
    ids = torch.full((2, LENGTH), pad)
    ids[0, :9] = torch.tensor([49406, 320, 736, 9722, 267, 274, 323, 13039, 49407])
    ids[1, :2] = torch.tensor([49406, 49407])
    assert torch.equal(model.text.tokenize(prompts), ids)
    expected = reference(tower, ids, layers, heads, gelu)
    assert relative_error(model.encode_prompts(prompts), expected) < 1e-5
    stock = CLIPTextModel.from_pretrained(folder / "text_encoder")
    assert relative_error(stock(ids).last_hidden_state.detach(), expected) < 1e-5


def published(name: str) -> dict[str, tuple[int, ...]]:
    rows = [line.split("\t") for line in (DATA / "checkpoint_keys" / f"{name}.tsv").read_text().splitlines()]
    return {row[0]: tuple(map(int, filter(None, row[1].split("x")))) for row in rows}


@pytest.mark.parametrize(
    ("name", "layers", "heads", "act"),
    [("sd-v2.1-base-4view", 23, 16, "gelu"), ("sd-v1.5-4view", 12, 12, "quick_gelu")],
)
def test_every_published_key_of_the_tower_is_used_or_known(name, layers, heads, act) -> None:
    shapes = published(name)
    found = text_tower(TextOptions(), shapes)
    stored = {key for key in shapes if key.startswith("cond_stage_model.")}
    used = {key for key, _ in found.names.values()}
    assert used <= stored
    assert stored - used <= found.unneeded
    # the last layer of 2.1 (12 tensors), the projection and the scale; the positions of 1.5
    assert len(stored - used) == {"sd-v2.1-base-4view": 14, "sd-v1.5-4view": 1}[name]
    config = found.config
    assert (config["num_hidden_layers"], config["num_attention_heads"], config["hidden_act"]) == (
        layers,
        heads,
        act,
    )


def test_towers_that_do_not_fit_are_refused(make) -> None:
    shapes = published("sd-v2.1-base-4view")
    with pytest.raises(UserError, match=r"lacks .*transformer\.text_model.*the configuration names"):
        text_tower(TextOptions("clip", "last"), shapes)
    with pytest.raises(UserError, match=r"layer = pooled is not supported"):
        make("FrozenCLIPEmbedder", 4, layer="pooled")
    with pytest.raises(UserError, match=r"heads of its text tower, 48 wide, can't be seen"):
        make("FrozenOpenCLIPEmbedder", 0)
    with pytest.raises(UserError, match=r"T5Embedder is not supported"):
        make("T5Embedder", 4)
    narrow = {key: (49408, 64) if "token_embedding" in key else shape for key, shape in shapes.items()}
    assert text_tower(TextOptions(), narrow).config["num_attention_heads"] == 1


def test_a_model_without_a_tower_loads_and_says_so(tmp_path) -> None:
    convert_file(GOLDEN, tmp_path / "out", config=GOLDEN.with_suffix(".yaml"))
    assert load(tmp_path / "out").text is None
    with pytest.raises(UserError, match="no text encoder"):
        load(tmp_path / "out", parts=("unet", "text"))
