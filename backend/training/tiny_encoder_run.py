# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way from a model to a small encoder for it. `python -m backend train tiny-encoder` calls it."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from backend.diffusion import MultiViewDiffusion, load, save
from backend.diffusion.tiny_encoder import load_tiny_encoder
from backend.spinning import spinning_while_alone
from backend.training.architecture import build_tiny_encoder
from backend.training.loop import Loop, LoopOptions
from backend.training.made_images import as_distillation_shows, sampled_images
from backend.training.record import write_record
from backend.training.runs import prepare_device
from backend.training.tiny_encoder import TinyEncoderOptions, TinyEncoderTask, agreement

log = logging.getLogger(__name__)

_HELD_BACK = 8
"""One set in so many is validated on."""


@spinning_while_alone()
def train_tiny_encoder(
    source: str, out: Path, loop: LoopOptions, options: TinyEncoderOptions, device_name: str = "auto"
) -> dict[str, Any]:
    """Draws images, trains, and writes `out`/tiny_vae, to be put into the model's folder.

    source: name or folder of a model with a text encoder. loop: pace and learning rate. Returns the record
    that is also written to training.json. Raises UserError for a model that can't be used, and for a
    training that diverged.
    """
    started = time.monotonic()
    device = prepare_device(device_name, options.seed)
    model = load(source, device)
    images = sampled_images(model, options.sets, options.seed)
    log.info("Drew %d images in %.0f s.", len(images), time.monotonic() - started)
    border = len(images) - model.config.views * max(1, options.sets // _HELD_BACK)
    generator = torch.Generator(device).manual_seed(options.seed)
    held = as_distillation_shows(images[border:], generator)
    torch.manual_seed(options.seed)
    assert model.vae is not None
    tiny = build_tiny_encoder(model.vae, options.channels)
    nn.Module.to(tiny, device)
    task = TinyEncoderTask(model, tiny, images[:border], held, options)
    arguments = {"model": model.config.name, "rate": loop.learning_rate, **dataclasses.asdict(options)}
    outcome = Loop(task, loop, out, arguments, started).run()
    save(MultiViewDiffusion(model.config, tiny_vae=task.average), out, dtype=torch.float16)
    model.tiny_vae = load_tiny_encoder(out, device, torch.float32)
    figures = agreement(model, held)
    data = {"images": border, "held_back_images": len(held)}
    return write_record(out, arguments, data, outcome, figures, device, {"tiny_vae": task.average})
