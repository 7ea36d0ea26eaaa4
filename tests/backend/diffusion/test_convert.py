# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole conversions of the golden networks: from files of each kind, to folders, again, half-way."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from backend.cli import main
from backend.diffusion import load
from backend.diffusion.convert import convert, convert_file, model_name
from backend.errors import Cancelled, UserError

GOLDENS = Path(__file__).resolve().parents[2] / "data" / "goldens"
CHECKPOINT, YAML = GOLDENS / "tiny-v21.safetensors", GOLDENS / "tiny-v21.yaml"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return load_file(CHECKPOINT)


def same(model, expected) -> bool:
    """Whether both have the same UNet and autoencoder, number by number."""
    return all(
        torch.equal(value, other.state_dict()[key])
        for part, other in expected.parts.items()
        for key, value in model.parts[part].state_dict().items()
    )


@pytest.mark.parametrize("kind", ["v21", "v15"])
def test_a_converted_folder_predicts_as_the_original(kind, golden, relative_error, tmp_path) -> None:
    convert_file(GOLDENS / f"tiny-{kind}.safetensors", tmp_path / "m", config=GOLDENS / f"tiny-{kind}.yaml")
    model, unet, vae = load(tmp_path / "m"), golden(f"unet_{kind}"), golden(f"vae_{kind}")
    case = "c_views4_mixed_t"
    with torch.no_grad():
        eps = model.predict_noise(unet["x_8x8"], unet[f"{case}.t"], unet["context"], unet["cam_a"])
        images = (vae["wide.image"].permute(0, 2, 3, 1) + 1) / 2
        latents = model.encode_images(images, noise=vae["wide.noise"])
        decoded = model.decode_latents(vae["wide.z_in"]).permute(0, 3, 1, 2) * 2 - 1
    assert relative_error(eps, unet[f"{case}.eps"]) < 1e-5
    assert relative_error(latents, vae["wide.latent_scaled"]) < 1e-5
    assert relative_error(decoded, vae["wide.decoded"]) < 1e-5
    schedule = golden("schedule")["buffer.alphas_cumprod"]
    torch.testing.assert_close(model.schedule.alphas_cumprod, schedule.float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("tiny.pt", {}),
        ("tiny.ckpt", {"_use_new_zipfile_serialization": False}),  # as torch wrote before 1.6: not mappable
    ],
)
def test_pickled_files_give_the_same_model(weights, tiny, tmp_path, file, options) -> None:
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / file, **options)
    assert same(convert(tmp_path / file, YAML), tiny("v21"))
    convert_file(tmp_path / file, tmp_path / "out", config=YAML)
    assert same(load(tmp_path / "out"), tiny("v21"))


def test_names_of_files_may_lie(weights, tiny, tmp_path) -> None:
    shutil.copy(CHECKPOINT, tmp_path / "tiny.pt")
    assert same(convert(tmp_path / "tiny.pt", YAML), tiny("v21"))
    torch.save(weights, tmp_path / "tiny.safetensors")
    with pytest.raises(UserError, match=r"PyTorch file in spite of its name. Rename it"):
        convert(tmp_path / "tiny.safetensors", YAML)


def test_files_read_in_several_goes(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("backend.diffusion.checkpoints._TOUCHED_LIMIT", 10_000)
    convert_file(CHECKPOINT, tmp_path / "out", config=YAML)
    assert same(load(tmp_path / "out"), tiny("v21"))


def test_what_is_on_disk(weights, tmp_path) -> None:
    reports = []
    convert_file(
        CHECKPOINT,
        tmp_path / "m",
        config=YAML,
        name="mine",
        report=lambda *progress: reports.append(progress),
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["mvdream.json", "unet", "vae"]
    assert json.loads((tmp_path / "m" / "mvdream.json").read_text())["name"] == "mine"
    used = sum(v.numel() for k, v in weights.items() if k.startswith(("model.", "first_stage_model.")))
    stages, done, totals = zip(*reports, strict=True)
    assert list(dict.fromkeys(stages)) == ["unet", "vae"]
    assert list(done) == sorted(done)
    assert set(totals) == {4 * used} == {done[-1]}
    files = list((tmp_path / "m").rglob("*.safetensors"))
    assert sum(value.numel() for file in files for value in load_file(file).values()) == used
    with safe_open(files[0], framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_the_files_own_precision_is_kept_and_can_be_halved(weights, tiny, tmp_path) -> None:
    save_file({key: value.bfloat16() for key, value in weights.items()}, tmp_path / "b.safetensors")
    convert_file(tmp_path / "b.safetensors", tmp_path / "kept", config=YAML)
    convert_file(CHECKPOINT, tmp_path / "half", config=YAML, dtype=torch.float16)
    for name, dtype in (("kept", torch.bfloat16), ("half", torch.float16)):
        stored = load_file(tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors")
        assert {value.dtype for value in stored.values()} == {dtype}
        expected = tiny("v21").unet.state_dict()
        assert all(torch.equal(value, expected[key].to(dtype)) for key, value in stored.items())


def test_repeating_replaces_the_model_and_nothing_else(tmp_path) -> None:
    out = tmp_path / "m"
    convert_file(CHECKPOINT, out, config=YAML, dtype=torch.float16)
    half = (out / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size
    convert_file(CHECKPOINT, out, config=YAML)
    assert (out / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size > 1.8 * half
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds other things \(notes\.txt\)"):
        convert_file(CHECKPOINT, out, config=YAML)
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(UserError, match="is a file"):
        convert_file(CHECKPOINT, out / "notes.txt", config=YAML)


def test_a_place_that_is_none_is_told_before_the_checkpoint_is_read(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("backend.diffusion.convert.plan_conversion", lambda *_: pytest.fail("it was read"))
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    for out, said in (
        (tmp_path / "file" / "m", "can't be written to"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "full", "holds other things"),
    ):
        with pytest.raises(UserError, match=said):
            convert_file(CHECKPOINT, out)
        assert main(["convert", str(CHECKPOINT), "--out", str(out)]) == 2
        assert said in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_stopping_leaves_what_was_there(tiny, tmp_path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "vae":
            raise Cancelled

    out = tmp_path / "m"
    with pytest.raises(Cancelled):
        convert_file(CHECKPOINT, out, config=YAML, report=stop)
    assert list(tmp_path.iterdir()) == []
    convert_file(CHECKPOINT, out, config=YAML)
    with pytest.raises(Cancelled):
        convert_file(CHECKPOINT, out, config=YAML, report=stop)
    assert list(tmp_path.iterdir()) == [out]
    assert same(load(out), tiny("v21"))


def test_a_full_disk_is_known_before(tmp_path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**6))
    with pytest.raises(UserError, match=r"needs 0\.1 GB .* 0\.0 GB are free"):
        convert_file(CHECKPOINT, tmp_path / "m", config=YAML)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_conversions_are_removed(tmp_path) -> None:
    import os

    for name, age in (("0123abcd", 7200), ("abcd0123", 5)):
        folder = tmp_path / f".m.converting-{name}"
        (folder / "unet").mkdir(parents=True)
        for path in (folder / "unet", folder):
            os.utime(path, (path.stat().st_mtime - age,) * 2)
    convert_file(CHECKPOINT, tmp_path / "m", config=YAML)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".m.converting-abcd0123", "m"]


def test_the_command_writes_a_folder_that_loads(tiny, tmp_path, capsys) -> None:
    out = tmp_path / "my model"
    command = ["convert", str(CHECKPOINT), "--config", str(YAML), "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "UNet, autoencoder" in printed.out
    assert "holds no text encoder" in printed.out
    assert "100% Converting: autoencoder (7 of 7 MB)" in printed.err
    model = load(out, parts=("unet", "vae"))
    assert model.config.name == "my-model"
    assert model.config.image_size == 256
    assert same(model, tiny("v21"))
    assert main([*command, "--half"]) == 0
    assert main(["convert", "nowhere.pt", "--config", str(YAML), "--out", str(out)]) == 2


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/sd-v2.1-base-4view.pt", "sd-v2.1-base-4view"), ("a/m.2 é", "m.2"), ("/", "converted")],
)
def test_names(path, name) -> None:
    assert model_name(Path(path)) == name
