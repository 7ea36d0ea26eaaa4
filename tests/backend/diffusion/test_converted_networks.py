# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversions of other configurations of the family, against a plain second implementation of the networks.

The reference below computes with a dictionary of weights that has the original's key names, and draws a
weight when it first meets its key: running it makes the checkpoint and the expected output at once.
"""

import math

import pytest
import torch
import torch.nn.functional as F
import yaml

from backend.diffusion import load
from backend.diffusion.config import ScheduleConfig
from backend.diffusion.convert import convert_file
from backend.diffusion.original.config import read_yaml
from backend.diffusion.original.inference import infer


class Reference:
    """The original's networks. weights: filled as keys are met."""

    def __init__(self, prefix: str, seed: int) -> None:
        self.prefix, self.weights = prefix, {}
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, key: str, *shape: int) -> torch.Tensor:
        key = self.prefix + key
        if key not in self.weights:
            value = torch.randn(shape, generator=self.generator)
            fan = math.prod(shape[1:])
            self.weights[key] = value / fan**0.5 if len(shape) > 1 else 0.1 * value
        return self.weights[key]

    def linear(self, key, x, out, bias=True):
        return F.linear(
            x, self.draw(key + ".weight", out, x.shape[-1]), self.draw(key + ".bias", out) if bias else None
        )

    def conv(self, key, x, out, size=3, **options):
        weight = self.draw(key + ".weight", out, x.shape[1], size, size)
        return F.conv2d(x, weight, self.draw(key + ".bias", out), **options)

    def scale(self, key, width):
        return 1 + self.draw(key + ".weight", width), self.draw(key + ".bias", width)

    def group_norm(self, key, x, eps):
        weight, bias = self.draw(key + ".weight", x.shape[1]), self.draw(key + ".bias", x.shape[1])
        return F.group_norm(x, 32, weight, bias, eps)

    def layer_norm(self, key, x):
        weight, bias = self.draw(key + ".weight", x.shape[-1]), self.draw(key + ".bias", x.shape[-1])
        return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-5)


def attend(q, k, v, heads, mask=None):
    """(B, L, C) each -> (B, L, C)."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    scores = scores if mask is None else scores + mask
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class UNet(Reference):
    def __init__(self, seed, options):
        super().__init__("model.diffusion_model.", seed)
        self.options = options

    def mlp(self, key, x, width):
        return self.linear(key + ".2", F.silu(self.linear(key + ".0", x, width)), width)

    def residual(self, key, x, emb, out):
        h = self.conv(
            key + ".in_layers.2", F.silu(self.group_norm(key + ".in_layers.0", x, 1e-5)), out, padding=1
        )
        h = h + self.linear(key + ".emb_layers.1", F.silu(emb), out)[:, :, None, None]
        h = F.silu(self.group_norm(key + ".out_layers.0", h, 1e-5))
        h = self.conv(key + ".out_layers.3", h, out, padding=1)
        return h + (x if x.shape[1] == out else self.conv(key + ".skip_connection", x, out, 1))

    def attention(self, key, x, context, heads):
        width = x.shape[-1]
        q, k, v = (
            self.linear(f"{key}.to_{name}", y, width, bias=False)
            for name, y in zip("qkv", (x, context, context), strict=True)
        )
        return self.linear(key + ".to_out.0", attend(q, k, v, heads), width)

    def transformer(self, key, x, context, views):
        batch, width, height, side = x.shape
        head_width = self.options.get("num_head_channels", -1)
        heads = self.options["num_heads"] if head_width == -1 else width // head_width
        h = self.group_norm(key + ".norm", x, 1e-6)
        flat = lambda y: y.flatten(2).transpose(1, 2)  # noqa: E731
        linear = self.options.get("use_linear_in_transformer", False)
        h = (
            self.linear(key + ".proj_in", flat(h), width)
            if linear
            else flat(self.conv(key + ".proj_in", h, width, 1))
        )
        for depth in range(self.options["transformer_depth"]):
            block = f"{key}.transformer_blocks.{depth}"
            y = self.layer_norm(block + ".norm1", h).reshape(batch // views, -1, width)
            h = h + self.attention(block + ".attn1", y, y, heads).reshape(h.shape)
            h = h + self.attention(block + ".attn2", self.layer_norm(block + ".norm2", h), context, heads)
            y = self.linear(block + ".ff.net.0.proj", self.layer_norm(block + ".norm3", h), 8 * width)
            y, gate = y.chunk(2, -1)
            h = h + self.linear(block + ".ff.net.2", y * F.gelu(gate), width)
        back = lambda y: y.transpose(1, 2).reshape(batch, width, height, side)  # noqa: E731
        if linear:
            return x + back(self.linear(key + ".proj_out", h, width))
        return x + self.conv(key + ".proj_out", back(h), width, 1)

    def __call__(self, x, t, context, camera, views):
        o, base = self.options, self.options["model_channels"]
        angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(base // 2) / (base // 2))
        emb = self.mlp("time_embed", torch.cat([angles.cos(), angles.sin()], -1), 4 * base)
        emb = emb + self.mlp("camera_embed", camera, 4 * base)
        levels = range(len(o["channel_mult"]))
        blocks = (
            [o["num_res_blocks"]] * len(levels)
            if isinstance(o["num_res_blocks"], int)
            else o["num_res_blocks"]
        )
        attends = [2**level in o["attention_resolutions"] for level in levels]
        h = self.conv("input_blocks.0.0", x, base, padding=1)
        skips, number = [h], 0
        for level in levels:
            for _ in range(blocks[level]):
                number += 1
                h = self.residual(f"input_blocks.{number}.0", h, emb, base * o["channel_mult"][level])
                h = self.transformer(f"input_blocks.{number}.1", h, context, views) if attends[level] else h
                skips.append(h)
            if level != levels[-1]:
                number += 1
                h = self.conv(f"input_blocks.{number}.0.op", h, h.shape[1], stride=2, padding=1)
                skips.append(h)
        h = self.residual("middle_block.0", h, emb, h.shape[1])
        h = self.transformer("middle_block.1", h, context, views)
        h = self.residual("middle_block.2", h, emb, h.shape[1])
        number = -1
        for level in reversed(levels):
            for place in range(blocks[level] + 1):
                number += 1
                h = torch.cat([h, skips.pop()], 1)
                h = self.residual(f"output_blocks.{number}.0", h, emb, base * o["channel_mult"][level])
                h = self.transformer(f"output_blocks.{number}.1", h, context, views) if attends[level] else h
                if level and place == blocks[level]:
                    key = f"output_blocks.{number}.{1 + attends[level]}.conv"
                    h = self.conv(
                        key, F.interpolate(h, scale_factor=2, mode="nearest"), h.shape[1], padding=1
                    )
        return self.conv("out.2", F.silu(self.group_norm("out.0", h, 1e-5)), o["out_channels"], padding=1)


class Autoencoder(Reference):
    def __init__(self, seed, options):
        super().__init__("first_stage_model.", seed)
        self.options = options
        self.widths = [options["ch"] * factor for factor in options["ch_mult"]]

    def residual(self, key, x, out):
        h = self.conv(key + ".conv1", F.silu(self.group_norm(key + ".norm1", x, 1e-6)), out, padding=1)
        h = self.conv(key + ".conv2", F.silu(self.group_norm(key + ".norm2", h, 1e-6)), out, padding=1)
        return h + (x if x.shape[1] == out else self.conv(key + ".nin_shortcut", x, out, 1))

    def attention(self, key, x):
        h = self.group_norm(key + ".norm", x, 1e-6)
        q, k, v = (self.conv(f"{key}.{name}", h, x.shape[1], 1).flatten(2).transpose(1, 2) for name in "qkv")
        return x + self.conv(
            key + ".proj_out", attend(q, k, v, 1).transpose(1, 2).reshape(x.shape), x.shape[1], 1
        )

    def blocks(self, key, h, level, count):
        attends = self.options["resolution"] >> level in self.options["attn_resolutions"]
        for number in range(count):
            h = self.residual(f"{key}.block.{number}", h, self.widths[level])
            h = self.attention(f"{key}.attn.{number}", h) if attends else h
        return h

    def middle(self, side, h):
        h = self.attention(f"{side}.mid.attn_1", self.residual(f"{side}.mid.block_1", h, h.shape[1]))
        return self.residual(f"{side}.mid.block_2", h, h.shape[1])

    def mean(self, image):
        o, z = self.options, self.options["z_channels"]
        h = self.conv("encoder.conv_in", image, o["ch"], padding=1)
        for level in range(len(self.widths)):
            h = self.blocks(f"encoder.down.{level}", h, level, o["num_res_blocks"])
            if level != len(self.widths) - 1:
                h = self.conv(
                    f"encoder.down.{level}.downsample.conv", F.pad(h, (0, 1, 0, 1)), h.shape[1], stride=2
                )
        h = F.silu(self.group_norm("encoder.norm_out", self.middle("encoder", h), 1e-6))
        return self.conv("quant_conv", self.conv("encoder.conv_out", h, 2 * z, padding=1), 2 * z, 1)[:, :z]

    def decode(self, z):
        h = self.conv(
            "decoder.conv_in", self.conv("post_quant_conv", z, z.shape[1], 1), self.widths[-1], padding=1
        )
        h = self.middle("decoder", h)
        for level in reversed(range(len(self.widths))):
            h = self.blocks(f"decoder.up.{level}", h, level, self.options["num_res_blocks"] + 1)
            if level:
                h = F.interpolate(h, scale_factor=2, mode="nearest")
                h = self.conv(f"decoder.up.{level}.upsample.conv", h, h.shape[1], padding=1)
        h = F.silu(self.group_norm("decoder.norm_out", h, 1e-6))
        return self.conv("decoder.conv_out", h, self.options["out_ch"], padding=1)


UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": 1,
    "attention_resolutions": [1, 2], "channel_mult": [1, 2], "transformer_depth": 1, "context_dim": 40,
    "camera_dim": 16, "use_spatial_transformer": True, "legacy": False, "use_checkpoint": False,
}  # fmt: skip
VAE = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 32,
    "ch_mult": [1, 1, 2], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip
CASES = {
    "1x1 projections, a fixed number of heads": ({"num_heads": 4}, {}),
    "linear projections, a fixed width of heads": (
        {"num_head_channels": 8, "use_linear_in_transformer": True, "channel_mult": [1, 3]},
        {"ch_mult": [1, 2, 3]},
    ),
    "two transformer layers, no attention at the top": (
        {"num_heads": 2, "transformer_depth": 2, "context_dim": [24, 24], "attention_resolutions": [2]},
        {"num_res_blocks": 2, "ch_mult": [1, 2]},
    ),
    "1x1 projections, attention at the top alone, three levels": (
        {"num_head_channels": 16, "use_linear_in_transformer": False, "channel_mult": [1, 2, 2],
         "attention_resolutions": [1]},
        {"z_channels": 8, "attn_resolutions": [64]},
    ),
    "uneven numbers of blocks, other channels": (
        {"num_heads": 1, "num_res_blocks": [2, 1, 1], "channel_mult": [1, 1, 3], "model_channels": 64,
         "attention_resolutions": [4, 1], "in_channels": 6, "out_channels": 6},
        {"ch": 64, "ch_mult": [1], "attn_resolutions": [256]},
    ),
}  # fmt: skip


def write_yaml(path, unet, vae, text="torch.nn.Identity", **text_options):
    params = {
        "linear_start": 0.0009, "linear_end": 0.011, "timesteps": 1000, "scale_factor": 0.2,
        "unet_config": {"params": unet},
        "first_stage_config": {"params": {"embed_dim": vae["z_channels"], "ddconfig": vae}},
        "cond_stage_config": {"target": text, "params": text_options},
    }  # fmt: skip
    path.write_text(yaml.safe_dump({"model": {"params": params}}))
    return path


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def known_heads(options):
    return {name: options[name] for name in ("num_heads", "num_head_channels") if name in options}


@pytest.mark.parametrize("case", CASES)
def test_networks_compute_what_the_reference_does(case, tmp_path, relative_error) -> None:
    unet_options, vae_options = {**UNET, **CASES[case][0]}, {**VAE, **CASES[case][1]}
    unet, vae = UNet(1, unet_options), Autoencoder(2, vae_options)
    x = torch.randn(4, unet_options["in_channels"], 8, 8)
    t, camera = torch.tensor([3, 250, 600, 999]), torch.randn(4, 16)
    width = unet_options["context_dim"]
    context = torch.randn(4, 5, width if isinstance(width, int) else width[0])
    eps = unet(x, t, context, camera, 2)
    image, z = torch.rand(1, 3, 32, 32), torch.randn(1, vae_options["z_channels"], 4, 4)
    mean, decoded = vae.mean(2 * image - 1), vae.decode(z)
    weights = {**unet.weights, **vae.weights}
    torch.save(weights, tmp_path / "random.pt")
    config = write_yaml(tmp_path / "c.yaml", unet_options, vae_options)

    convert_file(tmp_path / "random.pt", tmp_path / "out", config=config)
    model = load(tmp_path / "out")
    assert relative_error(model.predict_noise(x, t, context, camera, views=2), eps) < 1e-5
    assert relative_error(model.encode_images(image.permute(0, 2, 3, 1)), 0.2 * mean) < 1e-5
    assert relative_error(model.decode_latents(0.2 * z).permute(0, 3, 1, 2) * 2 - 1, decoded) < 1e-5

    # All but the heads and the scale of the latents can be seen in the weights.
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    seen, described = infer(shapes, ScheduleConfig(), known_heads(unet_options)), read_yaml(config)
    assert seen.unet == described.unet
    assert {**seen.vae, "scaling_factor": 0.2} == described.vae
    assert seen.image_size == described.image_size
