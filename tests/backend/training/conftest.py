# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny multi-view dataset and tiny networks."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from training_toys import SIZE, TINY_UNET, TINY_VAE, write_object

from backend.diffusion import MultiViewDiffusion
from backend.diffusion.config import ModelConfig
from backend.training.architecture import build_autoencoder, build_text_encoder, build_tokenizer, build_unet
from backend.training.datasets import MultiViewDataset, load_datasets


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six objects of two sets each."""
    folder = tmp_path_factory.mktemp("toys") / "dataset"
    for number in range(6):
        write_object(folder / f"{number:03d}", ["red", "blue"][number % 2], ["disc", "square"][number // 3])
    return folder


@pytest.fixture(scope="session")
def dataset_tar(dataset_folder: Path) -> Path:
    """The same objects in a tar file."""
    path = dataset_folder.parent / "dataset.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(dataset_folder, "dataset")
    return path


@pytest.fixture
def datasets(dataset_folder: Path) -> tuple[MultiViewDataset, MultiViewDataset]:
    """(training set of 5 objects, held-back set of 1)."""
    return load_datasets([dataset_folder], SIZE, workers=0)


@pytest.fixture
def make_model() -> Callable[[], MultiViewDiffusion]:
    """Makes the same tiny model, with random weights, at every call."""

    def make() -> MultiViewDiffusion:
        torch.manual_seed(5)
        tokenizer = build_tokenizer(["a red disc", "a blue square"], 8)
        config = ModelConfig(name="tiny", image_size=SIZE)
        unet, vae = build_unet(TINY_UNET, 2, SIZE // 4), build_autoencoder(TINY_VAE)
        return MultiViewDiffusion(config, unet, vae, build_text_encoder(TINY_UNET, tokenizer))

    return make
