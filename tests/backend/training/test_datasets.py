# SPDX-License-Identifier: GPL-3.0-or-later
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training_toys import COLOURS, SIZE, write_object

from backend.cameras import conditioning, orbit_c2w
from backend.errors import UserError
from backend.training.archives import ObjectSource
from backend.training.datasets import decode, load_datasets


def test_every_image_camera_and_caption_arrives(dataset_folder: Path) -> None:
    train, held = load_datasets([dataset_folder], SIZE, workers=0)
    assert train.images.shape == (10, 4, SIZE, SIZE, 4)
    assert train.images.dtype == torch.uint8
    assert held.images.shape == (2, 4, SIZE, SIZE, 4)
    for each in (train, held):
        for images, caption in zip(each.images, each.captions, strict=True):
            assert images[:, SIZE // 2, SIZE // 2].tolist() == [[*COLOURS[caption.split()[1]], 255]] * 4
    second = conditioning(orbit_c2w(torch.tensor([10.0, 100.0, 190.0, 280.0]), 10.0, 3.0))
    torch.testing.assert_close(train.cameras[1], second)
    assert train.ranges["elevation"] == (10.0, 10.0)
    assert train.ranges["fov"] == pytest.approx((34.38, 34.38))


def test_tar_files_folders_and_processes_give_the_same(dataset_folder: Path, dataset_tar: Path) -> None:
    from_folder, _ = load_datasets([dataset_folder], SIZE, workers=0)
    from_tar, _ = load_datasets([dataset_tar], SIZE, workers=2)
    assert torch.equal(from_folder.images, from_tar.images)
    assert from_folder.captions == from_tar.captions


def test_held_back_objects_are_others_and_stay_the_same(dataset_folder: Path, dataset_tar: Path) -> None:
    train, held = load_datasets([dataset_folder], SIZE, held_back=0.34, workers=0)
    again = load_datasets([dataset_tar], SIZE, held_back=0.34, workers=0)[1]
    assert len(set(held.objects)) == 2
    assert not set(held.objects) & set(train.objects)
    assert held.objects == again.objects


def test_shrinking_keeps_hidden_colours_hidden(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, ::2] = (200, 100, 0, 255)
    pixels[:, 1::2] = (0, 255, 255, 0)  # transparent, and of another colour
    Image.fromarray(pixels).save(tmp_path / "a.png")
    small = decode(ObjectSource("a", tmp_path), "a.png", 2)
    assert small.shape == (2, 2, 4)
    assert np.abs(small[..., 3].astype(int) - 127).max() <= 1
    assert np.abs(small[..., :3].astype(int) - (200, 100, 0)).max() <= 2


@pytest.mark.parametrize(
    ("mode", "size", "message"), [("RGB", (16, 16), "not RGBA"), ("RGBA", (16, 12), "must be square")]
)
def test_unfit_images_are_refused(tmp_path: Path, mode: str, size: tuple[int, int], message: str) -> None:
    Image.new(mode, size).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=message):
        decode(ObjectSource("a", tmp_path), "a.png", 16)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_or_broken_image_is_named(tmp_path: Path, workers: int) -> None:
    for number in range(70):  # more than one chunk, so that worker processes are really used
        write_object(tmp_path / f"{number:03d}", "red", "disc", sets=1, size=8)
    (tmp_path / "066" / "002.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"066: '002\.png' is not an image"):
        load_datasets([tmp_path], 8, workers=workers)
    (tmp_path / "066" / "002.png").unlink()
    with pytest.raises(UserError, match=r"066: cannot read '002\.png'"):
        load_datasets([tmp_path], 8, workers=workers)


def test_one_object_is_too_few(tmp_path: Path) -> None:
    write_object(tmp_path / "a", "red", "disc")
    with pytest.raises(UserError, match="two or more"):
        load_datasets([tmp_path], SIZE, workers=0)
