# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole training runs: data in, model folder out. `python -m backend train` calls these."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from backend.diffusion import MultiViewDiffusion, load, save
from backend.diffusion.config import ModelConfig, ViewRangeConfig, read_config
from backend.diffusion.registry import resolve
from backend.diffusion.tokenizer import WordTokenizer
from backend.errors import UserError
from backend.spinning import spinning_while_alone
from backend.training.architecture import (
    SMALL,
    AutoencoderShape,
    DenoiserShape,
    autoencoder_shape,
    build_autoencoder,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from backend.training.autoencoder import (
    AutoencoderOptions,
    AutoencoderTask,
    latent_statistics,
    reconstruction_quality,
)
from backend.training.datasets import MultiViewDataset, load_datasets
from backend.training.loop import Loop, LoopOptions, Outcome
from backend.training.multiview import MultiViewOptions, MultiViewTask
from backend.training.record import counted, write_record

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

log = logging.getLogger(__name__)

GUIDANCE_SCALE = 5.0  # the small model's; larger ones make its objects bulky


@dataclass(frozen=True)
class RunOptions:
    """What every run needs.

    Args:
        data: dataset folders and tar files of them.
        out: folder for the model, the checkpoint and the log.
        image_size: pixels along a side; None takes it from the autoencoder, or 128.
        device: "auto", "cpu", "cuda", "cuda:1"...
        seed: of weights, batches and backgrounds.
        init: model folder (or name) to start from instead of random weights.
        held_back: share of objects to validate on.
        limit: use only so many objects.
        workers: processes that decode images, None for one a core.
        loop: pace, learning rate, checkpoints.
    """

    data: tuple[Path, ...]
    out: Path
    image_size: int | None = None
    device: str = "auto"
    seed: int = 0
    init: str | None = None
    held_back: float = 0.02
    limit: int | None = None
    workers: int | None = None
    loop: LoopOptions = field(default_factory=LoopOptions)


@spinning_while_alone()
def train_autoencoder(
    run: RunOptions, options: AutoencoderOptions, shape: AutoencoderShape | None = None
) -> dict[str, Any]:
    """Trains an autoencoder and saves it, its scaling factor measured, as a model folder with that one part.

    Returns the record that is also written to training.json.
    Raises UserError for bad data, an impossible size, a diverged training.
    """
    started = time.monotonic()
    if run.init:
        size = read_config(resolve(run.init)).image_size
    else:
        shape = shape or autoencoder_shape(run.image_size or 128)
        size = shape.image_size
    train, held, device = _datasets(run, size)
    if shape is None or run.init:
        vae = _autoencoder_of(str(run.init), device)
    else:
        vae = build_autoencoder(shape)
        _move(vae, device)
    task = AutoencoderTask(vae, train, held, options)
    outcome, arguments = _train(task, run, options, size, started)
    average = task.average
    mean, deviation = latent_statistics(average, task.images, options.seed)
    average.register_to_config(scaling_factor=1 / deviation)
    config = ModelConfig(name="autoencoder", title="Autoencoder", image_size=size)
    save(MultiViewDiffusion(config, vae=average), run.out, dtype=torch.float16)
    restored = _autoencoder_of(run.out, device)
    quality = reconstruction_quality(restored, held.images.flatten(0, 1)[:512], options.seed)
    log.info(
        "Held back, as saved: %s", ", ".join(f"{name} {value:.2f} dB" for name, value in quality.items())
    )
    figures = {**quality, "latent_mean": mean, "latent_deviation": deviation}
    return write_record(run.out, arguments, counted(train, held), outcome, figures, device, {"vae": average})


@spinning_while_alone()
def train_multiview(
    run: RunOptions,
    options: MultiViewOptions,
    autoencoder: str | None = None,
    name: str = "small",
    shape: DenoiserShape = SMALL,
) -> dict[str, Any]:
    """Trains UNet and text encoder and saves the whole model, in half precision, as a model folder.

    autoencoder: folder of `train_autoencoder` (or any model) whose autoencoder is used; not needed with
    `run.init`. Returns the record that is also written to training.json.
    Raises UserError for bad data, unknown words when starting from a model, a diverged training.
    """
    started = time.monotonic()
    source = run.init or autoencoder
    if source is None:
        raise UserError(
            "Training needs an autoencoder: give --autoencoder DIR (see `train autoencoder`) or --init MODEL."
        )
    size = read_config(resolve(source)).image_size
    train, held, device = _datasets(run, size)
    model = load(source, device, parts=("unet", "vae", "text") if run.init else ("vae",))
    if not run.init:
        model = _fresh(model, train, held, name, shape)
    task = MultiViewTask(model, train, held, options)
    outcome, arguments = _train(task, run, options, size, started)
    save(task.average, run.out, dtype=torch.float16)
    return write_record(
        run.out, arguments, counted(train, held), outcome, outcome.figures, device, task.average.parts
    )


def _autoencoder_of(source: str | Path, device: torch.device) -> AutoencoderKL:
    vae = load(source, device, parts=("vae",)).vae
    assert vae is not None
    return vae


def _move(module: nn.Module, device: torch.device) -> None:
    # Called on the base class: diffusers' own `to` has a signature that type checkers reject.
    nn.Module.to(module, device)


def prepare_device(name: str, seed: int) -> torch.device:
    """The device, seeded and set up for speed. Raises UserError for one that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"There is no device {name!r}. Use auto, cpu or cuda.") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError("There is no CUDA device here. Use --device cpu.")
        torch.cuda.set_device(device.index or 0)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    torch.manual_seed(seed)
    return device


def _datasets(run: RunOptions, size: int) -> tuple[MultiViewDataset, MultiViewDataset, torch.device]:
    """Training and held-back set on the device of the run, and that device, seeded.

    The images are decoded before the device is touched: decoding forks, and CUDA does not like to be forked.
    """
    if run.image_size not in (None, size):
        raise UserError(
            f"--image-size {run.image_size} does not fit the model, which has images of {size} pixels."
        )
    train, held = load_datasets(run.data, size, run.held_back, run.limit, run.workers)
    device = prepare_device(run.device, run.seed)
    return train.to(device), held.to(device), device


def _fresh(
    model: MultiViewDiffusion,
    train: MultiViewDataset,
    held: MultiViewDataset,
    name: str,
    shape: DenoiserShape,
) -> MultiViewDiffusion:
    tokenizer: WordTokenizer = build_tokenizer([*train.captions, *held.captions])
    channels, side, _ = model.latent_shape
    config = ModelConfig(
        name=name,
        title=f"{name.capitalize()} ({model.config.image_size} pixels)",
        image_size=model.config.image_size,
        guidance_scale=GUIDANCE_SCALE,
        view_ranges=ViewRangeConfig(**train.ranges),
    )
    # Weights are drawn on the CPU, so that a seed means the same on every device.
    unet, text = build_unet(shape, channels, side), build_text_encoder(shape, tokenizer)
    _move(unet, model.device)
    _move(text, model.device)
    return MultiViewDiffusion(config, unet, model.vae, text)


def _train(
    task: AutoencoderTask | MultiViewTask,
    run: RunOptions,
    options: AutoencoderOptions | MultiViewOptions,
    size: int,
    started: float,
) -> tuple[Outcome, dict[str, Any]]:
    arguments = {
        "data": [path.name for path in run.data],
        "image_size": size,
        "init": run.init,
        "held_back": run.held_back,
        "limit": run.limit,
        "learning_rate": run.loop.learning_rate,
        "weights": {key: sum(p.numel() for p in module.parameters()) for key, module in task.trained.items()},
        **dataclasses.asdict(options),
    }
    outcome = Loop(task, run.loop, run.out, arguments, started).run()
    if outcome.paused:
        log.info("Paused after %d of %s steps; --resume goes on.", outcome.steps, outcome.total or "?")
    return outcome, arguments
