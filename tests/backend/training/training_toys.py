# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tiny objects as datasets; shapes of tiny networks."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from backend.cameras import orbit_c2w
from backend.training.architecture import AutoencoderShape, DenoiserShape

SIZE = 16
COLOURS = {"red": (230, 20, 20), "blue": (20, 40, 230)}
TINY_VAE = AutoencoderShape(SIZE, (8, 8, 16), latent_channels=2, groups=4)
TINY_UNET = DenoiserShape((16, 32), layers=1, context=16, head_width=8, groups=4, text_layers=1)


def write_object(
    folder: Path, colour: str, shape: str, sets: int = 2, size: int = SIZE, numbered: bool = True
) -> None:
    """An object that looks the same from everywhere: a disc or a square of one colour."""
    folder.mkdir(parents=True)
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    inside = x * x + y * y < 0.5 if shape == "disc" else np.maximum(abs(x), abs(y)) < 0.6
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[..., :3] = COLOURS[colour]
    pixels[..., 3] = inside * 255
    frames = []
    for number in range(sets * 4):
        azimuth = 90.0 * (number % 4) + 10 * (number // 4)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
        matrix = orbit_c2w(azimuth, 10.0, 3.0)[0].tolist()
        frame = {"file_path": f"{number:03d}.png", "transform_matrix": matrix}
        frames.append({**frame, "set": number // 4} if numbered else frame)
    content = {"caption": f"a {colour} {shape}", "camera_angle_x": 0.6, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))
