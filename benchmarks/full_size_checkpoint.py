# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint as large as the published ones, of random weights: written, converted, loaded, and measured.

    python benchmarks/full_size_checkpoint.py write sd-v2.1-base-4view random.pt    (or sd-v1.5-4view)
    python benchmarks/full_size_checkpoint.py convert random.pt FOLDER [--half]
    python benchmarks/full_size_checkpoint.py load FOLDER
    python benchmarks/full_size_checkpoint.py use FOLDER [--device auto] [--steps 2] [--preset paper-shaded]

Every key and shape of the published list, in the original's layout and float32 (5.2 and 4.3 GB). Norms are
the identity, matrices random / sqrt(inputs), and what is added to a residual stream a tenth of that, so that
outputs are finite in 16 bits too. `use` takes steps of score distillation at both stages and samples four
views, as a job would, and says whether everything stayed finite. `write` needs as much memory as the file is
large. Each command prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

KEYS = ROOT / "tests" / "data" / "checkpoint_keys"
# The last layer of each branch that is added to what went in.
RESIDUAL = re.compile(
    r"out_layers\.3|proj_out|to_out\.0|ff\.net\.2|conv2|attn\.out_proj|c_proj|self_attn\.out_proj|fc2"
)


def published(name: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a published checkpoint."""
    rows = [line.split("\t")[:2] for line in (KEYS / f"{name}.tsv").read_text().splitlines()]
    return {key: tuple(int(side) for side in shape.split("x") if side) for key, shape in rows}


def schedule() -> dict[str, Tensor]:
    """The 12 buffers of the noise schedule (DDPM, with the posterior of its equation 7)."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    bar = (1 - betas).cumprod(0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), bar[:-1]])
    variance = betas * (1 - before) / (1 - bar)
    return {
        "betas": betas, "alphas_cumprod": bar, "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": bar.sqrt(), "sqrt_one_minus_alphas_cumprod": (1 - bar).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - bar).log(), "sqrt_recip_alphas_cumprod": (1 / bar).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / bar - 1).sqrt(), "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - bar),
        "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - bar),
    }  # fmt: skip


def draw(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A weight of a sensible size for its place."""
    if key.endswith("position_ids"):
        return torch.arange(shape[-1]).expand(shape).clone()
    if key.endswith("logit_scale"):
        return torch.tensor(math.log(100.0))
    if len(shape) == 1:
        return torch.ones(shape) if key.endswith("weight") else torch.zeros(shape)
    scale = 0.02 if "embedding" in key else math.prod(shape[1:]) ** -0.5
    return torch.randn(shape, generator=generator).mul_(scale * (0.1 if RESIDUAL.search(key) else 1))


def write(name: str, path: Path, seed: int = 0) -> dict[str, Any]:
    """Write the random checkpoint."""
    generator = torch.Generator().manual_seed(seed)
    buffers, shapes = schedule(), published(name)
    start = time.perf_counter()
    weights = {
        key: buffers[key].float() if key in buffers else draw(key, shape, generator)
        for key, shape in shapes.items()
    }
    assert all(tuple(weights[key].shape) == shape for key, shape in shapes.items())
    torch.save(weights, path)
    return {"keys": len(weights), "bytes": path.stat().st_size, "seconds": time.perf_counter() - start}


def convert(checkpoint: Path, folder: Path, half: bool) -> dict[str, Any]:
    """Convert it, and account for its keys: used, left behind on purpose, and their sum."""
    from backend.diffusion.convert import convert_file, plan_conversion

    reports: Counter[str] = Counter()
    start = time.perf_counter()
    convert_file(
        checkpoint,
        folder,
        dtype=torch.float16 if half else None,
        report=lambda stage, done, total: reports.update([stage]),
    )
    seconds, peak = time.perf_counter() - start, peak_rss()
    plan = plan_conversion(checkpoint, None, "random")
    used = {source.key for part in plan.parts.values() for source in part.names.values()}
    stored = set(plan.parts["unet"].file.tensors)
    return {
        "seconds": seconds, "peak_rss_bytes": peak, "written_tensors": dict(reports),
        "keys": len(stored), "keys_used": len(used), "keys_known_not_needed": len(stored - used),
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }  # fmt: skip


def load(folder: Path) -> dict[str, Any]:
    """Load it on the CPU and encode a prompt."""
    from backend.diffusion import load as load_model

    start = time.perf_counter()
    model = load_model(folder)
    seconds = time.perf_counter() - start
    context = model.encode_prompts(["a red mug, 3d asset"])
    return {
        "seconds": seconds, "peak_rss_bytes": peak_rss(),
        "parameters": {name: sum(p.numel() for p in part.parameters()) for name, part in model.parts.items()},
        "context": list(context.shape), "context_is_finite": bool(context.isfinite().all()),
    }  # fmt: skip


def use(folder: Path, device: str, steps: int, preset: str) -> dict[str, Any]:
    """Distil for some steps at each stage of the recipe, then sample four views."""
    from backend.cameras import conditioning, orbit_views
    from backend.devices import pick_device, pick_dtype, pick_part_dtypes
    from backend.diffusion import load as load_model
    from backend.diffusion.sampler import Sampler, decode, draw_noise
    from backend.distillation import Distillation
    from backend.memory.planning import plan
    from backend.settings import PRESETS

    place = pick_device(device)
    dtype = pick_dtype(place, 256)
    fit = plan(folder, 256, PRESETS[preset].numbers, place, dtype)
    numbers = fit.numbers
    found: dict[str, Any] = {"device": str(place), "dtype": str(dtype), "preset": preset}
    found["made_smaller"] = list(fit.sentences)
    model = load_model(folder, place, dtype, part_dtypes=pick_part_dtypes(place, dtype))
    contexts = model.encode_prompts(["a red mug", ""]).split(1)
    for stage, first in (("stage 1", 0), ("stage 2", numbers.steps - steps)):
        distillation = Distillation(model, *contexts, numbers, seed=0)
        distillation.step_number = first
        distillation.occupancy.update(distillation.field)
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            distillation.step()
            if place.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        finite = all(bool(value.isfinite().all()) for value in distillation.field.parameters())
        found[stage] = {"seconds": seconds, "finite": finite}
    views = orbit_views(4, 15.0, 1.0, 40.0, model.device)
    start = time.perf_counter()
    both = [context.expand(4, -1, -1) for context in contexts]
    latents = Sampler(steps=20)(model, draw_noise(model, 0), both[0], both[1], conditioning(views.c2w))
    images = decode(model, latents)
    found["views"] = {"seconds": time.perf_counter() - start, "finite": bool(images.isfinite().all())}
    found["peak_rss_bytes"] = peak_rss()
    if place.type == "cuda":
        found["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    return found


def peak_rss() -> int:
    """Most memory that was resident in this process, mapped pages of files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("write")
    command.add_argument("name", choices=sorted(path.stem for path in KEYS.glob("*.tsv")))
    command.add_argument("path", type=Path)
    command = commands.add_parser("convert")
    command.add_argument("checkpoint", type=Path)
    command.add_argument("folder", type=Path)
    command.add_argument("--half", action="store_true")
    commands.add_parser("load").add_argument("folder", type=Path)
    command = commands.add_parser("use")
    command.add_argument("folder", type=Path)
    command.add_argument("--device", default="auto")
    command.add_argument("--steps", type=int, default=2)
    command.add_argument("--preset", default="paper-shaded")
    arguments = vars(parser.parse_args())
    run = {"write": write, "convert": convert, "load": load, "use": use}[arguments.pop("command")]
    print(json.dumps(run(**arguments)))  # noqa: T201


if __name__ == "__main__":
    main()
