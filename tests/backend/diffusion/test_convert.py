# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole conversions of the small networks, from files good and bad."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.cli import main
from backend.diffusion import load
from backend.diffusion.convert import convert
from backend.errors import UserError

GOLDENS = Path(__file__).resolve().parents[2] / "data" / "goldens"
YAML = GOLDENS / "tiny-v21.yaml"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return load_file(GOLDENS / "tiny-v21.safetensors")


def test_a_pickled_checkpoint_gives_the_same_model(weights, tiny, tmp_path) -> None:
    path = tmp_path / "tiny.pt"
    torch.save({"state_dict": weights}, path)
    expected = tiny("v21").unet.state_dict()
    for key, value in convert(path, YAML).unet.state_dict().items():
        assert torch.equal(value, expected[key])


def test_a_pickle_never_runs_code(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "owned",))

    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"evil\.pt can't be read as plain tensors"):
        convert(path, YAML)
    torch.save({"model": Evil()}, path)
    with pytest.raises(UserError, match="plain tensors"):
        convert(path, YAML)
    assert not (tmp_path / "owned").exists()


def test_weights_that_do_not_fit_are_named(weights, tmp_path) -> None:
    path = tmp_path / "bad.safetensors"
    key = "model.diffusion_model.out.2.weight"

    save_file({k: v for k, v in weights.items() if k != key}, path)
    with pytest.raises(UserError, match=rf"bad\.safetensors does not fit .*lacks {key}"):
        convert(path, YAML)
    save_file({**weights, key: weights[key][:2].contiguous()}, path)
    with pytest.raises(UserError, match=rf"{key} has shape \[2, 32, 3, 3\] where \[4, 32, 3, 3\]"):
        convert(path, YAML)
    save_file({**weights, "alphas_cumprod": weights["betas"].clone()}, path)
    with pytest.raises(UserError, match="noise schedule"):
        convert(path, YAML)


def test_files_that_are_missing_or_something_else(tmp_path) -> None:
    checkpoint = GOLDENS / "tiny-v21.safetensors"
    with pytest.raises(UserError, match=r"no checkpoint .*nothing\.pt"):
        convert(tmp_path / "nothing.pt", YAML)
    with pytest.raises(UserError, match=r"no configuration file .*nothing\.yaml"):
        convert(checkpoint, tmp_path / "nothing.yaml")
    other = tmp_path / "other.yaml"
    for text in ("- 1\n", "model: {params: {}}\n", "a: [\n", "\0"):
        other.write_text(text)
        with pytest.raises(UserError, match=r"other\.yaml"):
            convert(checkpoint, other)
    (tmp_path / "cut.safetensors").write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"cut\.safetensors"):
        convert(tmp_path / "cut.safetensors", YAML)


def test_the_command_writes_a_folder_that_loads(tiny, tmp_path, capsys) -> None:
    out = tmp_path / "my model"
    assert (
        main(["convert", str(GOLDENS / "tiny-v21.safetensors"), "--config", str(YAML), "--out", str(out)])
        == 0
    )
    assert "text encoder is not converted" in capsys.readouterr().out
    model = load(out, parts=("unet", "vae"))
    assert model.config.name == "my-model"
    assert model.config.image_size == 256
    expected = tiny("v21").vae.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.vae.state_dict().items())
    assert main(["convert", "nowhere.pt", "--config", str(YAML), "--out", str(out)]) == 2
