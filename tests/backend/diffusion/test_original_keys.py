# SPDX-License-Identifier: GPL-3.0-or-later
"""The key rules against every key and shape of the two published checkpoints; no weights are needed."""

from math import prod
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from backend.diffusion.config import ScheduleConfig
from backend.diffusion.original.config import OriginalModel, parse
from backend.diffusion.original.inference import infer
from backend.diffusion.original.keys import unet_names, vae_names
from backend.diffusion.original.layout import SCHEDULE_BUFFERS, check_keys
from backend.errors import UserError

FOLDER = Path(__file__).resolve().parents[2] / "data" / "checkpoint_keys"
PUBLISHED = ["sd-v2.1-base-4view", "sd-v1.5-4view"]

UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "num_res_blocks": 2,
    "attention_resolutions": [4, 2, 1], "channel_mult": [1, 2, 4, 4], "use_spatial_transformer": True,
    "transformer_depth": 1, "legacy": False, "camera_dim": 16,
}  # fmt: skip
HEADS = {
    "sd-v2.1-base-4view": {"num_head_channels": 64, "use_linear_in_transformer": True, "context_dim": 1024},
    "sd-v1.5-4view": {"num_heads": 8, "context_dim": 768},
}
VAE = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
    "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip


def params(unet: dict, vae: dict | None = None) -> dict:
    """`model.params` of a YAML."""
    return {
        "linear_start": 0.00085, "linear_end": 0.012, "timesteps": 1000, "scale_factor": 0.18215,
        "unet_config": {"params": {**UNET, **unet}},
        "first_stage_config": {"params": {"embed_dim": 4, "ddconfig": {**VAE, **(vae or {})}}},
    }  # fmt: skip


def published(name: str) -> list[tuple[str, tuple[int, ...], str, str]]:
    """Rows of original key, shape, part ("" for schedule and text), diffusers key."""
    rows = [line.split("\t") for line in (FOLDER / f"{name}.tsv").read_text().splitlines()]
    return [
        (key, tuple(map(int, filter(None, shape.split("x")))), part, new) for key, shape, part, new in rows
    ]


def skeleton(original: OriginalModel) -> dict[str, torch.nn.Module]:
    with torch.device("meta"):
        return {"unet": UNet2DConditionModel(**original.unet), "vae": AutoencoderKL(**original.vae)}


@pytest.fixture(scope="module", params=PUBLISHED)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def original(name) -> OriginalModel:
    return parse(params(HEADS[name]))


def test_every_published_key_goes_where_it_belongs(name, original) -> None:
    rows = published(name)
    parts = skeleton(original)
    for part, names in (("unet", unet_names), ("vae", vae_names)):
        state = parts[part].state_dict()
        ours = {old: new for new, old in names(original, state).items()}
        assert ours == {old: new for old, _, home, new in rows if home == part}
        for old, shape, home, new in rows:
            if home == part:
                assert prod(state[new].shape) == prod(shape), old
                assert tuple(state[new].shape) == shape or shape == (*state[new].shape, 1, 1), old


def test_what_is_left_over_is_schedule_and_text(name) -> None:
    left = {key for key, _, part, _ in published(name) if not part}
    assert left >= SCHEDULE_BUFFERS
    assert {key.split(".")[0] for key in left - SCHEDULE_BUFFERS} == {"cond_stage_model"}


def test_published_checkpoints_need_no_configuration(name, original) -> None:
    seen = infer({key: shape for key, shape, _, _ in published(name)}, ScheduleConfig())
    assert seen == original


def test_a_checkpoint_without_known_heads_does() -> None:
    shapes = {key: shape for key, shape, _, _ in published("sd-v2.1-base-4view")}
    other = {key: (*s[:-1], 640) if key.endswith("attn2.to_k.weight") else s for key, s in shapes.items()}
    with pytest.raises(UserError, match=r"context is 640 wide\. Pass its YAML"):
        infer(other, ScheduleConfig())
    with pytest.raises(UserError, match=r"lacks model\.diffusion_model\.input_blocks\.0"):
        infer({}, ScheduleConfig())
    cut = {key: s for key, s in shapes.items() if not key.startswith("model.diffusion_model.input_blocks.4.")}
    with pytest.raises(UserError, match=r"lacks model\.diffusion_model\.input_blocks\.4"):
        infer(cut, ScheduleConfig())


def test_heads_and_image_size(name, original) -> None:
    # 2.1: 64 channels a head; 1.5: 8 heads everywhere
    expected = {"sd-v2.1-base-4view": (5, 10, 20, 20), "sd-v1.5-4view": (8, 8, 8, 8)}
    assert original.unet["attention_head_dim"] == expected[name]
    assert original.image_size == 256


@pytest.mark.parametrize(
    ("unet", "vae"),
    [
        # deeper transformers, other attention levels, an uneven number of blocks
        ({"transformer_depth": 2, "attention_resolutions": [2, 4], "channel_mult": [1, 2, 3]}, {}),
        ({"num_res_blocks": [1, 2, 3], "channel_mult": [1, 2, 4], "model_channels": 64}, {"ch_mult": [1, 2]}),
        ({"attention_resolutions": [1], "channel_mult": [1, 1, 2, 2, 4]}, {"num_res_blocks": 3, "ch": 32}),
    ],
)
def test_other_shapes_of_the_family_have_a_name_for_every_parameter(unet, vae) -> None:
    original = parse(params({"num_heads": 4, "context_dim": 96, **unet}, vae))
    for part, names in (("unet", unet_names), ("vae", vae_names)):
        keys = list(skeleton(original)[part].state_dict())
        translated = names(original, keys)
        assert len(set(translated.values())) == len(keys)


def test_upsampling_follows_attention_where_a_level_has_it() -> None:
    original = parse(params({"num_heads": 4, "context_dim": 96, "attention_resolutions": [2]}))
    keys = ["up_blocks.0.upsamplers.0.conv.weight", "up_blocks.2.upsamplers.0.conv.weight"]
    assert list(unet_names(original, keys).values()) == [
        "model.diffusion_model.output_blocks.2.1.conv.weight",  # deepest level: no attention
        "model.diffusion_model.output_blocks.8.2.conv.weight",  # attention at 2x down
    ]


@pytest.mark.parametrize(
    ("unet", "vae", "message"),
    [
        ({"camera_dim": 12}, {}, "camera_dim 12"),
        ({"use_scale_shift_norm": True}, {}, "use_scale_shift_norm"),
        ({"num_head_channels": 48}, {}, "num_head_channels 48"),
        ({"num_res_blocks": [2, 2]}, {}, "4 levels"),
        ({"context_dim": [96, 64]}, {}, "context_dim"),
        ({"channel_mult": [2, 4]}, {}, "channel_mult"),
        ({"model_channels": 40}, {}, "40 channels"),
        ({}, {"ch_mult": [2, 2]}, "ch_mult"),
        ({}, {"z_channels": 8}, "embed_dim"),
    ],
)
def test_what_can_not_be_expressed_is_refused_by_name(unet, vae, message) -> None:
    with pytest.raises(UserError, match=message):
        parse(params({"num_heads": 8, "context_dim": 96, **unet}, vae))


def test_what_the_original_leaves_out_has_its_defaults() -> None:
    full, short = (
        params(HEADS["sd-v1.5-4view"]),
        params(HEADS["sd-v1.5-4view"], {"attn_type": "vanilla-xformers"}),
    )
    for name in ("linear_start", "linear_end", "timesteps", "scale_factor"):
        del short[name]
    assert parse(short) == parse(full)
    with pytest.raises(UserError, match="beta_schedule = cosine is not supported"):
        parse({**full, "beta_schedule": "cosine"})


def test_missing_and_unexpected_keys_are_named() -> None:
    known = {f"k{i}" for i in range(9)}
    with pytest.raises(UserError, match=r"lacks k0, k1, k2, k3, k4 and 4 more"):
        check_keys(known, set(), set())
    with pytest.raises(UserError, match=r"unexpected lora\.up\."):
        check_keys(known, {"betas"}, {*known, "betas", "lora.up"})
