# SPDX-License-Identifier: GPL-3.0-or-later
"""Multi-view datasets in memory: every image decoded once, kept as 8-bit RGBA, four views a set."""

import hashlib
import io
import logging
import math
import mmap
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from backend.cameras import conditioning
from backend.errors import UserError
from backend.training.archives import ObjectSource, find_objects
from backend.training.descriptions import VIEWS, Frame, read_description

log = logging.getLogger(__name__)

_DESCRIPTIONS = 512  # files of JSON a task
_CHUNK = 64  # objects a task: long enough to hide the cost of handing it over


@dataclass(frozen=True)
class MultiViewDataset:
    """Sets of four views of one object, taken by one set of cameras.

    Args:
        images: (S, 4, H, W, 4) uint8, RGBA with straight alpha, sRGB.
        cameras: (S, 4, 16) float32, MVDream's conditioning vectors.
        captions: S captions, one a set.
        objects: S object names, one a set.
        ranges: lowest and highest fov, elevation (degrees) and relative_distance of all cameras.
    """

    images: torch.Tensor
    cameras: torch.Tensor
    captions: list[str]
    objects: list[str]
    ranges: dict[str, tuple[float, float]]

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def image_size(self) -> int:
        """Pixels along a side."""
        return self.images.shape[2]

    def to(self, device: torch.device | str) -> "MultiViewDataset":
        """The same dataset with its tensors on `device`."""
        return replace(self, images=self.images.to(device), cameras=self.cameras.to(device))

    def slice(self, start: int, stop: int) -> "MultiViewDataset":
        """Sets start..stop; shares the memory."""
        part = slice(start, stop)
        return replace(
            self,
            images=self.images[part],
            cameras=self.cameras[part],
            captions=self.captions[part],
            objects=self.objects[part],
        )


def load_datasets(
    paths: Sequence[Path],
    image_size: int,
    held_back: float = 0.02,
    limit: int | None = None,
    workers: int | None = None,
) -> tuple[MultiViewDataset, MultiViewDataset]:
    """Decodes datasets into memory and holds some objects back to validate on.

    Args:
        paths: dataset folders and uncompressed tar files of such folders.
        image_size: pixels along a side; images of another size are resampled with premultiplied alpha.
        held_back: share of the objects to hold back, chosen by a hash of the object's name; at least one.
        limit: use only so many objects.
        workers: processes that decode; None for one a core, 0 to decode in this one.

    Returns:
        (training set, held-back set), on the CPU.

    Raises:
        UserError: a dataset, an image or a key is missing or not as it must be; the message names the object.
    """
    started = time.monotonic()
    workers = (os.cpu_count() or 1) if workers is None else workers
    sources = _find_all(paths, workers)[:limit]
    if len(sources) < 2:
        raise UserError(
            f"Only {len(sources)} object in {', '.join(map(str, paths))}. "
            "One is held back to validate on, so give two or more."
        )
    sources, held_count = _held_back_last(sources, held_back)
    with _executor(min(workers, -(-len(sources) // _DESCRIPTIONS))) as pool:
        described = list(pool.map(read_description, sources, chunksize=_DESCRIPTIONS))
    frames = [[frame for four in each.sets for frame in four] for each in described]
    images = _decode_all(sources, frames, image_size, workers)
    dataset = MultiViewDataset(
        images.view(-1, VIEWS, image_size, image_size, 4),
        _cameras(frames),
        [each.caption for each in described for _ in each.sets],
        [source.name for source, each in zip(sources, described, strict=True) for _ in each.sets],
        _ranges(frames),
    )
    border = len(dataset) - sum(len(each.sets) for each in described[len(described) - held_count :])
    log.info(
        "Read %d objects, %d images of %d pixels in %.1f s; %d objects held back.",
        len(sources), len(dataset) * VIEWS, image_size, time.monotonic() - started, held_count,
    )  # fmt: skip
    return dataset.slice(0, border), dataset.slice(border, len(dataset))


def _find_all(paths: Sequence[Path], workers: int) -> list[ObjectSource]:
    """Tar files are scanned side by side: a hundred thousand headers take Python seconds."""
    with _executor(min(workers, len(paths))) as pool:
        return [source for found in pool.map(find_objects, paths) for source in found]


def _held_back_last(sources: list[ObjectSource], share: float) -> tuple[list[ObjectSource], int]:
    """Moves the objects with the smallest hashes of their names to the end; returns how many."""
    count = min(max(1, round(share * len(sources))), len(sources) - 1)
    hashes = [hashlib.sha256(source.name.encode()).hexdigest() for source in sources]
    order = sorted(range(len(sources)), key=lambda i: (hashes[i], i))
    held = set(order[:count])
    kept = [source for i, source in enumerate(sources) if i not in held]
    return kept + [sources[i] for i in order[:count]], count


def _cameras(frames: Iterable[list[Frame]]) -> torch.Tensor:
    matrices = torch.tensor([frame.c2w for of_object in frames for frame in of_object], dtype=torch.float32)
    return conditioning(matrices).view(-1, VIEWS, 16).float()


def _ranges(frames: Iterable[list[Frame]]) -> dict[str, tuple[float, float]]:
    every = [frame for of_object in frames for frame in of_object]
    measures = {
        "fov": [math.degrees(frame.angle) for frame in every],
        "elevation": [frame.elevation for frame in every],
        "relative_distance": [frame.relative_distance for frame in every],
    }
    return {name: (round(min(values), 2), round(max(values), 2)) for name, values in measures.items()}


def _decode_all(
    sources: list[ObjectSource], frames: list[list[Frame]], size: int, workers: int
) -> torch.Tensor:
    """(frames, size, size, 4) uint8. Worker processes write straight into memory shared with this one."""
    count = sum(map(len, frames))
    # An anonymous mapping is inherited by forked workers and, unlike /dev/shm, has no size limit of its own.
    memory = mmap.mmap(-1, count * size * size * 4)
    images = np.frombuffer(memory, dtype=np.uint8).reshape(count, size, size, 4)
    starts = np.cumsum([0, *map(len, frames)])

    def decode_chunk(first: int) -> None:
        for i in range(first, min(first + _CHUNK, len(sources))):
            for offset, frame in enumerate(frames[i]):
                images[starts[i] + offset] = decode(sources[i], frame.file, size)

    _run_chunks(decode_chunk, range(0, len(sources), _CHUNK), workers)
    return torch.from_numpy(images)


_chunk_task: Callable[[int], None] | None = None


def _call_chunk_task(first: int) -> None:
    assert _chunk_task is not None
    _chunk_task(first)


def _run_chunks(task: Callable[[int], None], chunks: Sequence[int], workers: int) -> None:
    """Runs `task` for every chunk; forked workers inherit it in a module variable: nothing is pickled."""
    global _chunk_task
    _chunk_task = task
    try:
        with _executor(min(workers, len(chunks))) as pool:
            for _ in pool.map(_call_chunk_task, chunks):
                pass
    finally:
        _chunk_task = None


def _executor(workers: int) -> Executor:
    # Pillow holds the interpreter's lock while it decodes WebP, so threads barely help. Fork needs Linux.
    if workers > 1 and sys.platform == "linux":
        return ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("fork"),
            # Whatever training made of the signal: where one of them has died the others are ended by it.
            initializer=signal.signal,
            initargs=(signal.SIGTERM, signal.SIG_DFL),
        )
    return ThreadPoolExecutor(max(workers, 1))


def decode(source: ObjectSource, file: str, size: int) -> np.ndarray:
    """One image as (size, size, 4) uint8 with straight alpha.

    Raises:
        UserError: missing, unreadable, not square, or without an alpha channel.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(source.read(file)))
        image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{source}: {file!r} is not an image that can be read ({error}).") from error
    if image.mode != "RGBA":
        raise UserError(
            f"{source}: {file!r} is {image.mode}, not RGBA. "
            "Render with a transparent film: training puts its own backgrounds behind the object."
        )
    if image.width != image.height:
        raise UserError(
            f"{source}: {file!r} is {image.width} x {image.height}; training images must be square."
        )
    if image.width != size:
        # Averaging straight colours would let the hidden colour of transparent pixels bleed into the edge.
        method = Image.Resampling.BOX if image.width > size else Image.Resampling.LANCZOS
        image = image.convert("RGBa").resize((size, size), method).convert("RGBA")
    return np.asarray(image)
