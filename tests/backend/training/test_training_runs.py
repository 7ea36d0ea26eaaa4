# SPDX-License-Identifier: GPL-3.0-or-later
"""From a dataset to a model folder that loads and samples."""

import argparse
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from training_toys import SIZE, TINY_UNET, TINY_VAE, write_object

from backend.commands import train as command
from backend.diffusion import load
from backend.errors import UserError
from backend.training.autoencoder import AutoencoderOptions
from backend.training.loop import LoopOptions
from backend.training.multiview import MultiViewOptions, MultiViewTask
from backend.training.runs import RunOptions, train_autoencoder, train_multiview

LOOP = LoopOptions(steps=4, log_every=2, validate_every=4, checkpoint_every=2)


def _run(data: Path, out: Path, **changes: object) -> RunOptions:
    return dataclasses.replace(RunOptions((data,), out, device="cpu", workers=0, loop=LOOP), **changes)


@pytest.fixture(scope="module")
def autoencoder(dataset_tar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("autoencoder")
    train_autoencoder(_run(dataset_tar, out), AutoencoderOptions(batch=4), TINY_VAE)
    return out


@pytest.fixture(scope="module")
def model(dataset_tar: Path, autoencoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tiny"
    train_multiview(
        _run(dataset_tar, out), MultiViewOptions(batch=2, backgrounds=1), str(autoencoder), "tiny", TINY_UNET
    )
    return out


def _parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    return parser.parse_args(["train", *arguments])


def test_latents_of_the_autoencoder_have_unit_deviation(autoencoder: Path, dataset_tar: Path) -> None:
    loaded = load(autoencoder, parts=("vae",))
    record = json.loads((autoencoder / "training.json").read_text())
    assert loaded.vae is not None
    assert loaded.vae.config.scaling_factor == pytest.approx(
        1 / record["figures"]["latent_deviation"], rel=1e-3
    )
    assert next(iter(loaded.vae.parameters())).dtype == torch.float32
    assert record["data"]["sets"] == 10
    assert record["steps"] == 4


def test_the_model_loads_samples_and_knows_its_words(model: Path, tmp_path: Path) -> None:
    loaded = load(model)
    assert loaded.text is not None
    assert loaded.text.tokenizer.known_words == ["a", "blue", "disc", "red", "square"]
    assert loaded.config.name == "tiny"
    assert loaded.config.image_size == SIZE
    assert loaded.config.view_ranges.elevation == (10.0, 10.0)
    sheet = tmp_path / "sheets" / "sheet.png"
    arguments = ["--model", str(model), "-o", str(sheet), "--sampling-steps", "2", "--device", "cpu"]
    assert command.run(_parse("sample", "--prompts", "a red disc", "a blue disc", *arguments)) == 0
    assert Image.open(sheet).size == (4 * SIZE, 2 * (SIZE + 16))


def test_interrupted_training_gives_the_same_model(
    model: Path, autoencoder: Path, dataset_tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = MultiViewOptions(batch=2, backgrounds=1)
    run = _run(dataset_tar, tmp_path / "tiny", loop=dataclasses.replace(LOOP, validate_every=3))
    with monkeypatch.context() as patch:
        patch.setattr(MultiViewTask, "validate", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_multiview(run, options, str(autoencoder), "tiny", TINY_UNET)
    assert not (tmp_path / "tiny" / "unet").exists()
    run = _run(dataset_tar, tmp_path / "tiny", loop=dataclasses.replace(LOOP, resume=True))
    train_multiview(run, options, str(autoencoder), "tiny", TINY_UNET)
    for file in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        assert (tmp_path / "tiny" / file).read_bytes() == (model / file).read_bytes()


def _interrupt(task: MultiViewTask) -> dict[str, float]:
    raise KeyboardInterrupt


def test_fine_tuning_starts_from_the_model(model: Path, dataset_folder: Path, tmp_path: Path) -> None:
    run = _run(dataset_folder, tmp_path / "tuned", init=str(model), loop=dataclasses.replace(LOOP, steps=1))
    run = dataclasses.replace(run, loop=dataclasses.replace(run.loop, learning_rate=1e-9))
    train_multiview(run, MultiViewOptions(batch=2, backgrounds=1))
    before, after = load(model), load(tmp_path / "tuned")
    assert before.unet is not None
    assert after.unet is not None
    for a, b in zip(before.unet.parameters(), after.unet.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-2)
    write_object(tmp_path / "new" / "a", "red", "disc")
    write_object(tmp_path / "new" / "b", "red", "disc")
    description = tmp_path / "new" / "a" / "transforms.json"
    description.write_text(description.read_text().replace("a red disc", "a red teapot"))
    with pytest.raises(UserError, match="teapot"):
        train_multiview(_run(tmp_path / "new", tmp_path / "x", init=str(model)), MultiViewOptions(batch=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["multiview", "--steps", "1"], "--autoencoder"),
        (["autoencoder"], "--steps or --minutes"),
        (["autoencoder", "--steps", "0"], "--steps must be above 0"),
        (["autoencoder", "--steps", "1", "--batch", "-1"], "--batch must be above 0"),
        (["autoencoder", "--steps", "1", "--image-size", "96"], "64 or 128"),
        (["autoencoder", "--steps", "1", "--device", "toaster"], "no device 'toaster'"),
        (["autoencoder", "--steps", "1", "--init", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_on_the_command_line(
    arguments: list[str], message: str, dataset_folder: Path, tmp_path: Path
) -> None:
    parsed = _parse(*arguments, "--data", str(dataset_folder), "--out", str(tmp_path / "out"))
    with pytest.raises(UserError, match=message):
        command.run(parsed)


def test_the_model_and_the_wanted_image_size_must_agree(
    model: Path, dataset_folder: Path, tmp_path: Path
) -> None:
    run = _run(dataset_folder, tmp_path, init=str(model), image_size=64)
    with pytest.raises(UserError, match="--image-size 64"):
        train_multiview(run, MultiViewOptions(batch=2))
