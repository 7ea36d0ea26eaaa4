# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job of the shipped model has imported by its first step: seconds of waiting, were it more."""

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from pathlib import Path
from backend import pipeline
from backend.errors import Cancelled
from backend.settings import GenerateSettings

steps = []
settings = GenerateSettings(prompt="a red mug", model="small", device="cpu", render_size=16)
try:
    pipeline.generate(
        settings,
        Path(sys.argv[1]),
        report=lambda progress: steps.append((progress.stage, progress.step)),
        cancelled=lambda: ("distil", 1) in steps,
    )
except Cancelled:
    assert ("sample", 10) in steps and ("distil", 1) in steps
    print(*sys.modules)
"""
HEAVY = {"diffusers", "transformers", "huggingface_hub", "torch._dynamo", "sympy", "scipy", "skimage"}


def test_nothing_heavy_but_torch_is_imported_before_the_first_step(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert {"torch", "backend.diffusion.lean.unet", "backend.start.fitting"} <= imported
    assert not HEAVY & imported
