# SPDX-License-Identifier: GPL-3.0-or-later
"""From a prompt to a picture of views: with a tiny random model, and with the shipped one, to look right."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backend.cli import main
from backend.diffusion import MultiViewDiffusion, storage
from backend.errors import Cancelled, UserError
from backend.progress import Progress
from backend.view_pictures import BACKGROUND, ViewSet, sheet
from backend.views import PICTURE, SETTINGS, ViewsResult, sample_views
from backend.views_settings import ViewsSettings
from tests.backend.word_model import SIZE, save_word_model

STEPS = 3
Run = Callable[..., ViewsResult]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model for pictures of 16 x 16 pixels that knows five words."""
    return save_word_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def run(model: Path) -> Run:
    """run(folder, settings..., report=, cancelled=)."""

    def make(folder: Path, prompt: str = "a red mug", **changes: Any) -> ViewsResult:
        calls = {name: changes.pop(name) for name in ("report", "cancelled") if name in changes}
        settings = ViewsSettings(prompt=prompt, model=str(model), device="cpu", **{"steps": STEPS, **changes})
        return sample_views(settings, folder, **calls)

    return make


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_sheet_has_a_row_a_set_on_grey() -> None:
    dark, light = (np.full((4, 32, 32, 3), level, np.uint8) for level in (0, 255))
    light[2] = 9
    picture = np.asarray(sheet([ViewSet(1, (0, 90, 180, 270), dark), ViewSet(2, (0, 90, 180, 270), light)]))
    assert picture.shape == (65, 131, 3)
    assert (picture[32] == BACKGROUND).all()
    assert (picture[:, 32] == BACKGROUND).all()
    assert (picture[:32, :32] == 0).all()
    assert (picture[33:, 66:98] == 9).all()
    assert (picture[33:, 99:] == 255).all()


def test_the_folder_holds_the_picture_and_how_it_was_made(run: Run, tmp_path: Path) -> None:
    told: list[Progress] = []
    result = run(tmp_path / "new", report=told.append)
    assert result.picture == tmp_path / "new" / PICTURE
    assert sorted(path.name for path in result.picture.parent.iterdir()) == sorted([PICTURE, SETTINGS])
    picture = Image.open(result.picture)
    assert picture.size == (4 * SIZE + 3, SIZE)
    assert picture.info["prompt"] == "a red mug"
    assert picture.info["seed"] == "0"
    written = (tmp_path / "new" / SETTINGS).read_text()
    assert ViewsSettings.model_validate_json(written).prompt == "a red mug"
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, pytest.approx(1.0))
    assert [progress.step for progress in told if progress.stage == "sample"] == [0, 1, 2, 3, 3]
    assert [progress.preview for progress in told if progress.preview] == [PICTURE]


def test_the_seed_decides_and_each_set_has_its_own(run: Run, tmp_path: Path) -> None:
    alone = [pixels(run(tmp_path / str(seed), seed=seed).picture) for seed in (4, 5)]
    again = pixels(run(tmp_path / "again", seed=4).picture)
    both = pixels(run(tmp_path / "both", seed=4, count=2).picture)
    assert np.array_equal(alone[0], again)
    assert not np.array_equal(alone[0], alone[1])
    assert np.array_equal(both[:SIZE], alone[0])
    assert np.array_equal(both[SIZE + 1 :], alone[1])


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "a blue box"},
        {"guidance_scale": 20.0},
        {"negative_prompt": "blue"},
        {"elevation": 60.0},
        {"background": "any"},
    ],
)
def test_what_is_asked_for_matters(run: Run, tmp_path: Path, other: dict[str, Any]) -> None:
    usual = pixels(run(tmp_path / "usual", guidance_scale=3.0).picture)
    changed = pixels(run(tmp_path / "changed", **{"guidance_scale": 3.0, **other}).picture)
    assert not np.array_equal(usual, changed)


def test_separate_files_are_the_parts_of_the_picture(run: Run, tmp_path: Path) -> None:
    result = run(tmp_path / "one", separate=True)
    assert [path.name for path in result.separate] == [f"view-{a:03d}.png" for a in (0, 90, 180, 270)]
    whole = pixels(result.picture)
    for place, path in enumerate(result.separate):
        left = place * (SIZE + 1)
        assert np.array_equal(pixels(path), whole[:, left : left + SIZE])
    several = run(tmp_path / "two", separate=True, count=2, azimuth=-45.0)
    assert [path.name for path in several.separate[3:5]] == ["view-0-225.png", "view-1-315.png"]


def test_the_first_view_is_the_front_and_the_camera_goes_counter_clockwise(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    original = MultiViewDiffusion.predict_noise

    def spy(self: MultiViewDiffusion, *inputs: Any, **__: Any) -> torch.Tensor:
        seen.append(inputs[3])
        return original(self, *inputs)

    monkeypatch.setattr(MultiViewDiffusion, "predict_noise", spy)
    run(tmp_path, elevation=30.0)
    across, up = math.cos(math.pi / 6), 0.5
    expected = torch.tensor([[0, -across, up], [across, 0, up], [0, across, up], [-across, 0, up]])
    assert len(seen) == STEPS
    for camera in seen:
        torch.testing.assert_close(camera[:, [3, 7, 11]], expected.repeat(2, 1), atol=1e-6, rtol=0)


def test_guidance_suits_pictures_unless_it_is_given(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend import views

    scales: list[float] = []

    class Spy(views.Sampler):
        def __init__(self, steps: int, scale: float, *others: Any) -> None:
            scales.append(scale)
            super().__init__(steps, scale, *others)

    monkeypatch.setattr(views, "Sampler", Spy)
    run(tmp_path)  # this model's 50 is for distillation
    run(tmp_path, guidance_scale=0.0)
    assert scales == [7.5, 0.0]


def test_cancelled_in_the_middle(run: Run, tmp_path: Path) -> None:
    asked = iter([False, False, True])
    told: list[Progress] = []
    with pytest.raises(Cancelled):
        run(tmp_path, cancelled=lambda: next(asked), report=told.append)
    assert told[-1].step == 2
    assert not (tmp_path / PICTURE).exists()


def test_mistakes_are_told_in_a_sentence(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not know 'dragon'.*a, blue, box, mug, red"):
        run(tmp_path, "a red dragon")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written to"):
        run(tmp_path / "file" / "job")


def test_a_model_without_a_text_encoder(model: Path, tmp_path: Path) -> None:
    mute = shutil.copytree(model, tmp_path / "mute")
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(mute / part)
    with pytest.raises(UserError, match="mute has no text encoder, so it can't read prompts"):
        sample_views(ViewsSettings(prompt="a mug", model=str(mute), device="cpu"), tmp_path / "job")


def test_more_steps_than_the_models_schedule_has(model: Path, tmp_path: Path) -> None:
    short = shutil.copytree(model, tmp_path / "short")
    config = json.loads((short / "mvdream.json").read_text())
    (short / "mvdream.json").write_text(json.dumps({**config, "schedule": {"steps": 50}}))
    settings = ViewsSettings(prompt="a mug", model=str(short), device="cpu", steps=51)
    with pytest.raises(UserError, match=r"steps must be between 1 and 50 with the model tiny.*51 was given"):
        sample_views(settings, tmp_path / "job")


def test_memory_is_looked_at_before_the_model_is_loaded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.memory.planning.available_ram", lambda: 10**8)
    monkeypatch.setattr("backend.diffusion.storage.load", None)  # not callable
    with pytest.raises(UserError, match="Sampling views needs"):
        run(tmp_path)


def test_the_command_writes_the_files_it_was_asked_for(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "sub" / "mug.png"
    usual = ["views", "a red mug", "--model", str(model), "--steps", "2", "--device", "cpu"]
    assert main([*usual, "-o", str(out), "--separate", "--seed", "3", "--rescale", "0.5"]) == 0
    names = ["mug-000.png", "mug-090.png", "mug-180.png", "mug-270.png", "mug.png"]
    assert sorted(path.name for path in out.parent.iterdir()) == names
    assert Image.open(out).info["seed"] == "3"
    assert (out.stat().st_mode & 0o777) == (out.with_name("mug-000.png").stat().st_mode & 0o777)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "views.jpg"], "must end in .png"),
        (["-o", "folder.png"], "is a folder"),
        (["-o", "views.png", "--steps", "0"], "steps must be between 1 and 1000; 0 was given."),
        (["-o", "views.png", "--guidance", "-1"], "--guidance-scale must be between 0 and 100"),
        (["-o", "views.png", "--solver", "euler"], "solver must be 'dpm++' or 'ddim'"),
        (
            ["-o", "views.png", "--negative", "dragon"],
            "The negative prompt can't be used. The model does not know",
        ),
        (["-o", "views.png", "--count", "2", "--seed", "2147483647"], "choose a lower seed"),
    ],
)
def test_the_commands_mistakes(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    assert main(["views", "a red mug", "--model", str(model), *options]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.slow
def test_the_shipped_model_shows_a_red_mug_and_its_handle_turns(tmp_path: Path) -> None:
    result = sample_views(
        ViewsSettings(prompt="a red mug", model="small", device="cpu", separate=True), tmp_path
    )
    masks = []
    for path in result.separate:
        view = pixels(path).astype(float)
        red = view[..., 0] - view[..., 1:].max(axis=-1) > 40
        masks.append(red)
        assert 0.08 < red.mean() < 0.6
    widths = [int(mask.any(axis=0).sum()) for mask in masks]
    # From the front and the back the handle sticks out; from its own side and the opposite one it does not.
    assert min(widths[0], widths[2]) > max(widths[1], widths[3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "seed"), [("a white teapot", 2), ("a red mug", 1), ("a blue chair with yellow legs", 1)]
)
def test_the_shipped_model_stands_its_objects_before_grey(prompt: str, seed: int, tmp_path: Path) -> None:
    settings = ViewsSettings.from_values({"prompt": prompt, "seed": seed, "model": "small", "device": "cpu"})
    edge = pixels(sample_views(settings, tmp_path).picture)[:4, :64].reshape(-1, 3).mean(axis=0)
    assert float(edge.max() - edge.min()) < 20


def test_the_command_knows_the_words_before_it_loads_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr("backend.views.sample_views", load)
    assert main(["views", "a red dragon", "--model", "small", "-o", str(tmp_path / "x.png")]) == 2
    assert "does not know 'dragon'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_word_of_the_negative_prompt_is_told_as_one(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^The negative prompt can't be used\..*does not know 'dragon'"):
        run(tmp_path, negative_prompt="a dragon")


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_a_network_that_overflows_makes_no_black_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    loaded = storage.load

    def overflowing(*arguments: Any, **options: Any) -> MultiViewDiffusion:
        model = loaded(*arguments, **options)
        last = model.unet.conv_out if part == "unet" else model.vae.decoder.conv_out
        last.bias[0] = math.nan
        return model

    monkeypatch.setattr(storage, "load", overflowing)
    with pytest.raises(UserError, match=r"tiny answered with values that are not finite.*precision to fp32"):
        run(tmp_path)
    assert not (tmp_path / PICTURE).exists()
