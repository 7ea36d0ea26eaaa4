# SPDX-License-Identifier: GPL-3.0-or-later
"""The text tower of an original checkpoint (cond_stage_model) as a transformers CLIPTextModel.

2.1 has OpenCLIP's, and uses the output of the last layer but one behind the final layer norm; a CLIP text
model without the last layer computes exactly that. 1.5 has CLIP's own, all layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backend.diffusion.clip_tokenizer import CLIP_PAD, OPEN_CLIP_PAD
from backend.diffusion.original.config import CLIP, NO_TEXT, OPEN_CLIP, TextOptions
from backend.diffusion.original.keys import TEXT_PREFIX
from backend.errors import UserError

_OPEN = TEXT_PREFIX + "model."
_CLIP = TEXT_PREFIX + "transformer.text_model."
_HEAD_WIDTH = 64
# Of contrastive training, not of text encoding; the positions are simply 0..76.
_UNNEEDED = {_OPEN + "text_projection", _OPEN + "logit_scale", _CLIP + "embeddings.position_ids"}
_OPEN_ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_OPEN_LEAVES = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_KINDS = ("weight", "bias")
Shapes = Mapping[str, tuple[int, ...]]
Names = dict[str, tuple[str, int | None]]


@dataclass(frozen=True)
class TextTower:
    """config: arguments of CLIPTextConfig. names: the model's parameters (without "text_model.") to a key of
    the checkpoint and, where query, key and value lie in one tensor, which third. unneeded: keys left
    behind."""

    config: dict[str, Any]
    names: Names
    unneeded: set[str]
    pad: str


def text_tower(options: TextOptions, shapes: Shapes) -> TextTower | None:
    """The tower in a checkpoint, None if there is none and none is due.

    The number of heads can't be seen in shapes: it is that of all CLIP towers, width / 64, unless the YAML's
    `cond_stage_config.params` says otherwise as `heads`. Raises UserError.
    """
    kinds = {OPEN_CLIP: _OPEN + "token_embedding.weight", CLIP: _CLIP + "embeddings.token_embedding.weight"}
    found = next((kind for kind, key in kinds.items() if key in shapes), NO_TEXT)
    kind = options.kind or found
    if kind == NO_TEXT:
        return None
    if kind != found:
        raise UserError(f"it lacks {kinds[kind]}: the text tower that the configuration names.")
    return _open_clip(options, shapes) if kind == OPEN_CLIP else _clip(options, shapes)


def _open_clip(options: TextOptions, shapes: Shapes) -> TextTower:
    layers = _count(shapes, _OPEN + "transformer.resblocks.")
    used = layers - (options.layer != "last")
    names: Names = {ours: (_OPEN + theirs, None) for ours, theirs in _OPEN_ENDS.items()}
    names |= {ours: source for layer in range(used) for ours, source in _block(layer)}
    behind = {key for layer in range(used, layers) for _, (key, _) in _block(layer)}
    config = _config(options, shapes, names, used, "gelu")
    return TextTower({**config, "pad_token_id": 0}, names, behind | _UNNEEDED, OPEN_CLIP_PAD)


def _block(layer: int) -> Iterator[tuple[str, tuple[str, int | None]]]:
    ours, theirs = f"encoder.layers.{layer}", f"{_OPEN}transformer.resblocks.{layer}"
    for kind in _KINDS:
        for leaf, name in _OPEN_LEAVES.items():
            yield f"{ours}.{leaf}.{kind}", (f"{theirs}.{name}.{kind}", None)
        for third, letter in enumerate("qkv"):
            yield f"{ours}.self_attn.{letter}_proj.{kind}", (f"{theirs}.attn.in_proj_{kind}", third)


def _clip(options: TextOptions, shapes: Shapes) -> TextTower:
    layers = _count(shapes, _CLIP + "encoder.layers.")
    leaves = [*_OPEN_LEAVES, *(f"self_attn.{letter}_proj" for letter in "qkv")]
    ours = [*_OPEN_ENDS]
    ours += [f"encoder.layers.{n}.{leaf}.{kind}" for n in range(layers) for leaf in leaves for kind in _KINDS]
    names: Names = {name: (_CLIP + name, None) for name in ours}
    config = _config(options, shapes, names, layers, "quick_gelu")
    return TextTower({**config, "pad_token_id": 49407}, names, _UNNEEDED, CLIP_PAD)


def _count(shapes: Shapes, prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.")
    return len({match[1] for match in map(pattern.match, shapes) if match})


def _config(options: TextOptions, shapes: Shapes, names: Names, layers: int, act: str) -> dict[str, Any]:
    def shape(name: str, sides: int = 2) -> tuple[int, ...]:
        key = names[name][0] if name in names else name
        if key not in shapes:
            raise UserError(f"it lacks {key}.")
        if len(shapes[key]) != sides:
            raise UserError(f"{key} has shape {list(shapes[key])}, which is not a text tower's.")
        return shapes[key]

    if layers < 1:
        raise UserError("its text tower has no layer that could be used.")
    tokens, width = shape("embeddings.token_embedding.weight")
    heads = options.heads or width // _HEAD_WIDTH
    if heads < 1 or width % heads or (options.heads is None and width % _HEAD_WIDTH):
        raise UserError(
            f"the number of attention heads of its text tower, {width} wide, can't be seen in the"
            " weights. Name it"
            " in the YAML (--config), as model.params.cond_stage_config.params.heads."
        )
    return {
        "vocab_size": tokens,
        "hidden_size": width,
        "intermediate_size": shape("encoder.layers.0.mlp.fc1.weight")[0],
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": shape("embeddings.position_embedding.weight")[0],
        "hidden_act": act,
        "layer_norm_eps": 1e-5,
        "projection_dim": width,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
    }
