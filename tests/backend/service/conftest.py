# SPDX-License-Identifier: GPL-3.0-or-later
"""Running services, and a model folder that has a configuration, a vocabulary and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_harness import WORDS, Server

from backend.diffusion.config import ModelConfig
from backend.diffusion.tokenizer import WordTokenizer


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: `tiny` with a vocabulary, and `broken`."""
    home = tmp_path_factory.mktemp("models")
    (home / "tiny" / "tokenizer").mkdir(parents=True)
    config = ModelConfig(name="tiny", title="Tiny", image_size=64)
    (home / "tiny" / "mvdream.json").write_text(config.model_dump_json())
    (home / "tiny" / "tokenizer" / "vocab.json").write_text(WordTokenizer(WORDS, 8).to_json())
    (home / "broken").mkdir()
    (home / "broken" / "mvdream.json").write_text("{")
    return home


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Server]:
    """One service for all the tests of a file that leave it as it was."""
    running = Server(tmp_path_factory.mktemp("data"), models).wait_until_ready()
    yield running
    running.end()


@pytest.fixture
def start(tmp_path: Path, models: Path) -> Iterator[Callable[..., Server]]:
    """Starts services on this test's own data folder; what still runs in the end is stopped."""
    started: list[Server] = []

    def launch(**options: Any) -> Server:
        started.append(Server(options.pop("data_dir", tmp_path / "data"), models, **options))
        return started[-1]

    yield launch
    for running in started:
        running.end()
