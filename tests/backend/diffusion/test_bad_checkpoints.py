# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way in which a checkpoint can be wrong has a message of its own, and leaves nothing behind."""

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from backend.diffusion.checkpoints import CheckpointFile
from backend.diffusion.convert import convert_file
from backend.errors import UserError

GOLDENS = Path(__file__).resolve().parents[2] / "data" / "goldens"
CHECKPOINT, YAML = GOLDENS / "tiny-v21.safetensors", GOLDENS / "tiny-v21.yaml"
KEY = "model.diffusion_model.out.2.weight"
VAE_KEY = "first_stage_model.decoder.conv_out.bias"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return load_file(CHECKPOINT)


@pytest.fixture
def refused(tmp_path) -> Callable[..., str]:
    """refused(path): the message with which a file is refused; the folder to write must not appear."""

    def run(path: Path, config: Path | None = YAML, **options) -> str:
        with pytest.raises(UserError) as caught:
            convert_file(path, tmp_path / "model", config=config, **options)
        assert not [entry.name for entry in tmp_path.iterdir() if "model" in entry.name]
        return str(caught.value)

    return run


def file(folder: Path, weights: dict[str, torch.Tensor], **changed: torch.Tensor | None) -> Path:
    """A .pt of `weights` with some replaced, or left out for None."""
    weights = {key: value for key, value in (weights | changed).items() if value is not None}
    torch.save(weights, folder / "bad.pt")
    return folder / "bad.pt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"just some words\n" * 100, "is a text file"),
        ("Modell für später, größer".encode() * 60, "is a text file"),
        (b'{"error": "Invalid credentials"}', "is a text file"),
        (b"\n<!DOCTYPE html>\n<html><head><title>Log in</title>", "is a web page"),
        (b"<html lang=en>" + b"\xff\xfe" * 99, "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5221\n", "is a Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "neither a .safetensors nor a PyTorch file"),
        (b"\x80\x02no pickle", "is damaged or holds more than tensors"),
    ],
)
def test_files_that_are_something_else(refused, tmp_path, content, message) -> None:
    for name in ("sd-v2.1-base-4view.pt", "tiny.safetensors"):
        (tmp_path / name).write_bytes(content)
        said = refused(tmp_path / name)
        assert message in said or "in spite of its name" in said
        assert name in said


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["pt", "old.pt", "safetensors"])
def test_a_file_that_is_cut_off(refused, tmp_path, weights, kind, share) -> None:
    path = tmp_path / f"cut.{kind}"
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "pt")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    said = refused(path)
    assert "cut off" in said or "damaged" in said
    assert "again" in said or kind == "old.pt"


@pytest.fixture(params=["old.pt", "pt", "safetensors"])
def whole(request, tmp_path, weights) -> Path:
    """A small checkpoint of each format: from before PyTorch 1.6, of today, and without pickle."""
    path = tmp_path / f"whole.{request.param}"
    few = dict(list(weights.items())[:12])
    if request.param == "safetensors":
        save_file(few, path)
    else:
        torch.save(few, path, _use_new_zipfile_serialization=request.param == "pt")
    return path


def read_all(path: Path) -> None:
    file = CheckpointFile(path)
    for key in file.tensors:
        file.read(key)


def test_no_cut_is_more_than_a_sentence(whole, tmp_path) -> None:
    content = whole.read_bytes()
    path = tmp_path / f"short{whole.suffix}"
    # Every few bytes where the structure is, then through the numbers to the end.
    cuts = [*range(24, 1500, 23), *range(1500, len(content) - 600, len(content) // 40)]
    for cut in [*cuts, *range(len(content) - 600, len(content), 31)]:
        path.write_bytes(content[:cut])
        with pytest.raises(UserError, match=r"cut off|damaged|neither a \.safetensors|Nothing was run"):
            read_all(path)


def test_no_damaged_byte_is_more_than_a_sentence(whole, tmp_path) -> None:
    """What is not noticed here are the numbers themselves, and names, which the parts are checked for."""
    content, random = whole.read_bytes(), Random(3)
    ends = [*range(1200), *range(len(content) - 1200, len(content))]
    path = tmp_path / f"hurt{whole.suffix}"
    refused = 0
    for _ in range(300):
        hurt = bytearray(content)
        hurt[random.choice(ends)] = random.randrange(256)
        path.write_bytes(hurt)
        try:
            read_all(path)
        except UserError:
            refused += 1
    assert 30 < refused < 300


def test_a_zip_of_something_else(refused, tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "holiday.pt", "w") as archive:
        archive.writestr("beach.jpg", b"\xff\xd8")
    assert "is a zip archive, but no PyTorch checkpoint" in refused(tmp_path / "holiday.pt")


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


class Shell(Evil):
    def __reduce__(self):
        import os

        return os.system, (f"touch {self.victim}",)


@pytest.mark.parametrize("kind", [Evil, Shell])
def test_a_pickle_never_runs_code(refused, tmp_path, weights, kind) -> None:
    evil = kind(tmp_path / "owned")
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(evil, protocol=2))
    assert "Nothing was run" in refused(path)
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        torch.save({"state_dict": weights, "callbacks": evil}, path, **options)
        said = refused(path)
        assert "would run Python code" in said
        assert "system" in said if kind is Shell else True
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([torch.zeros(1)], r"holds no dictionary of tensors but one value (list)"),
        ({}, "is an empty dictionary: it holds no tensors"),
        ({"state_dict": {}}, "is an empty dictionary: it holds no tensors"),
        ({"a": 1}, "not a plain dictionary of tensors: 'a' is int"),
        ({"state_dict": {"a": torch.zeros(1), "b": [torch.zeros(1)]}}, "'b' is list"),
        ({3: torch.zeros(1)}, "not a plain dictionary of tensors: 3"),
        ({"a": torch.eye(3).to_sparse()}, "not a plain dictionary of tensors: 'a'"),
    ],
)
def test_pickles_of_something_else(refused, tmp_path, data, message) -> None:
    torch.save(data, tmp_path / "other.pt")
    assert message in refused(tmp_path / "other.pt")


@pytest.mark.filterwarnings("error")
def test_an_unusual_pickle_is_refused_without_words_of_pytorchs(refused, tmp_path) -> None:
    path = tmp_path / "raw.pt"
    with path.open("wb") as raw:
        pickle.dump({"a": 1}, raw, protocol=4)
    assert "PyTorch's safe reader refuses it" in refused(path)


def test_other_models(refused, tmp_path, weights) -> None:
    plain = {key: value for key, value in weights.items() if "camera_embed" not in key}
    for config in (YAML, None):
        assert "plain Stable Diffusion model: it has no camera network" in refused(
            file(tmp_path, plain), config
        )
    said = refused(file(tmp_path, {"encoder.conv1.weight": torch.zeros(3)}))
    assert "not one of MVDream" in said
    assert "encoder.conv1.weight" in said


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", [KEY, VAE_KEY])
def test_weights_that_are_not_finite(refused, tmp_path, weights, bad, key) -> None:
    spoilt = weights[key].clone()
    spoilt.view(-1)[-1] = bad
    path = file(tmp_path, weights, **{key: spoilt})
    assert f"The checkpoint {path} is spoilt: {key} holds values that are not finite" in refused(path)


def test_weights_too_large_for_half_precision(refused, tmp_path, weights) -> None:
    path = file(tmp_path, weights, **{KEY: 70000 * weights[KEY].sign()})
    assert f"{KEY} holds values too large for 16 bits" in refused(path, dtype=torch.float16)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_weights_of_another_type(refused, tmp_path, weights, dtype, kind) -> None:
    changed = weights | {KEY: weights[KEY].to(dtype)}
    path = tmp_path / f"bad.{kind}"
    if kind == "pt":
        torch.save(changed, path)
    else:
        save_file(changed, path)
    assert f"{KEY} holds numbers of type" in refused(path)


def test_keys_and_shapes_that_do_not_fit(refused, tmp_path, weights) -> None:
    said = refused(file(tmp_path, weights, **{KEY: None}))
    assert f"does not fit {YAML}: it lacks {KEY}." in said
    said = refused(file(tmp_path, weights, **{KEY: weights[KEY][:2].clone()}))
    assert f"{KEY} has shape [2, 32, 3, 3] where [4, 32, 3, 3] is expected" in said
    said = refused(file(tmp_path, weights, **{"model.diffusion_model.image_embed.latents": torch.zeros(2)}))
    assert "unexpected model.diffusion_model.image_embed.latents." in said
    said = refused(file(tmp_path, weights, **{"cond_stage_model.model.visual.proj": torch.zeros(2)}))
    assert "unexpected cond_stage_model.model.visual.proj." in said


def test_a_schedule_that_does_not_fit(refused, tmp_path, weights) -> None:
    said = refused(file(tmp_path, weights, alphas_cumprod=weights["betas"].clone()))
    assert "noise schedule in alphas_cumprod" in said
    said = refused(file(tmp_path, weights, alphas_cumprod=torch.zeros(3, 3)))
    assert "alphas_cumprod is not a list" in said


def test_configurations_that_do_not_fit(refused, tmp_path) -> None:
    other = tmp_path / "other.yaml"
    config = yaml.safe_load(YAML.read_text())
    config["model"]["params"]["unet_config"]["params"]["channel_mult"] = [1, 2, 2]
    other.write_text(yaml.safe_dump(config))
    said = refused(CHECKPOINT, other)
    assert f"{CHECKPOINT} does not fit {other}: it lacks model.diffusion_model." in said
    config["model"]["params"]["unet_config"]["params"] |= {"channel_mult": [1, 2], "context_dim": 64}
    other.write_text(yaml.safe_dump(config))
    assert "attn2.to_k.weight has shape [32, 48] where [32, 64]" in refused(CHECKPOINT, other)
    for text in ("- 1\n", "model: {params: {}}\n", "a: [\n", "\0"):
        other.write_text(text)
        assert "other.yaml" in refused(CHECKPOINT, other)
    assert f"no configuration file {tmp_path / 'none.yaml'}" in refused(CHECKPOINT, tmp_path / "none.yaml")
    assert f"no checkpoint {tmp_path / 'none.pt'}" in refused(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3", "is not that of an MVDream model: the file holds no named entries."),
        ("", "is not that of an MVDream model: the file holds no named entries."),
        ("model: 3", "is not that of an MVDream model: model holds no named entries."),
        ("model: {params: [1]}", "is not that of an MVDream model: params holds no named entries."),
        ("model: {params: {unet_config: 4}}", "MVDream model: unet_config holds no named entries."),
        ("model: {}", "lacks 'params'. Is it the YAML of an MVDream model?"),
        ("a: 1\nb: [", "is no YAML file (line 2 is wrong)."),
        (YAML.read_text().replace("model_channels: 32", "model_channels: many"), "a word where a number"),
    ],
)
def test_a_configuration_of_something_else(refused, tmp_path, text, said) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(text)
    assert refused(CHECKPOINT, other).startswith(f"The configuration {other} ")
    assert said in refused(CHECKPOINT, other)


def test_a_configuration_that_is_no_text(refused, tmp_path) -> None:
    other = tmp_path / "other.yaml"
    other.write_bytes(b"\xff\xfe\x00")
    assert refused(CHECKPOINT, other) == f"The configuration {other} is no YAML file."


def test_without_a_configuration_the_heads_must_be_known(refused) -> None:
    assert "whose context is 48 wide. Pass its YAML with --config" in refused(CHECKPOINT, None)
