# SPDX-License-Identifier: GPL-3.0-or-later
"""A small encoder distilled from a tiny model's: it learns, it is written, it is read."""

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training_toys import SIZE, TINY_VAE

from backend.commands import train as command
from backend.diffusion import MultiViewDiffusion, load, save
from backend.errors import UserError
from backend.training.architecture import build_autoencoder, build_tiny_encoder
from backend.training.average import MovingAverage
from backend.training.stepper import Stepper
from backend.training.tiny_encoder import TinyEncoderOptions, TinyEncoderTask, agreement


@pytest.fixture
def folder(tmp_path: Path, make_model: Callable[[], MultiViewDiffusion]) -> Path:
    save(make_model().freeze(), tmp_path / "tiny")
    return tmp_path / "tiny"


def _train(model: Path, out: Path, *more: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    small = ["--sets", "2", "--batch", "4", "--channels", "8", "--steps", "2", "--device", "cpu"]
    arguments = ["train", "tiny-encoder", "--model", str(model), "--out", str(out), *small, *more]
    return command.run(parser.parse_args(arguments))


def _weights(out: Path) -> bytes:
    return (out / "tiny_vae" / "diffusion_pytorch_model.safetensors").read_bytes()


def test_it_has_the_shape_of_the_autoencoders_latents() -> None:
    vae = build_autoencoder(TINY_VAE)
    tiny: Any = build_tiny_encoder(vae, 8)
    assert tiny.decoder is None
    found = tiny.encode(torch.zeros(1, 3, SIZE, SIZE)).latents.shape
    encoded: Any = vae.encode(torch.zeros(1, 3, SIZE, SIZE))
    assert found == encoded.latent_dist.mean.shape


def test_it_learns_what_the_models_encoder_says(make_model: Callable[[], MultiViewDiffusion]) -> None:
    model = make_model().freeze()
    assert model.vae is not None
    torch.manual_seed(0)
    images = (torch.rand(8, 4, 4, 3) * 255).byte().repeat_interleave(4, 1).repeat_interleave(4, 2)
    task = TinyEncoderTask(
        model, build_tiny_encoder(model.vae, 16), images, images / 255, TinyEncoderOptions(batch=8)
    )
    stepper = Stepper(task, 5e-3, MovingAverage(task.trained, task.averaged, 0.9))
    before = task.validate()
    for _ in range(60):
        stepper.step("only")
        stepper._average.set_step(60)
    after = task.validate()
    assert after["deviation"] < 0.6 * before["deviation"]
    assert after["explained"] > max(0.3, before["explained"])
    # The teacher stays as it was.
    fresh = make_model().vae
    assert fresh is not None
    pairs = zip(model.vae.parameters(), fresh.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


class _Two:
    """Two encoders: a picture's first channel, and the same a little off."""

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        return images[..., :1].permute(0, 3, 1, 2)

    def encode_images_tiny(self, images: torch.Tensor) -> torch.Tensor:
        return self.encode_images(images) + 0.5


def test_agreement_by_hand() -> None:
    images = torch.zeros(130, 2, 2, 3)
    images[::2] = 2.0
    # A variance of 1 around the mean, of which 0.25 is missed.
    found = agreement(_Two(), images)  # type: ignore[arg-type]
    assert found == pytest.approx({"explained": 0.75, "deviation": 0.5})


def test_the_command_writes_what_a_model_reads_and_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _train(folder, out) == 0
    record = json.loads((out / "training.json").read_text())
    assert (record["steps"], record["data"]) == (2, {"images": 4, "held_back_images": 4})
    assert record["arguments"]["model"] == "tiny"
    assert set(record["figures"]) == {"explained", "deviation"}
    shutil.copytree(out / "tiny_vae", folder / "tiny_vae")
    model = load(folder, parts=("vae_encoder", "tiny_vae"))
    assert model.encode_images_tiny(torch.rand(1, SIZE, SIZE, 3)).shape == (1, 2, SIZE // 4, SIZE // 4)
    _train(folder, tmp_path / "again")
    assert _weights(tmp_path / "again") == _weights(out)
    _train(folder, tmp_path / "other", "--seed", "1")
    assert _weights(tmp_path / "other") != _weights(out)


@pytest.mark.parametrize(
    ("option", "message"), [("--sets", "at least 2, not 0"), ("--steps", "at least 1, not 0")]
)
def test_impossible_numbers_are_refused(folder: Path, tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(UserError, match=f"{option} must be {message}"):
        _train(folder, tmp_path / "out", option, "0")
    assert not (tmp_path / "out").exists()
