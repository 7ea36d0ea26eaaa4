# SPDX-License-Identifier: GPL-3.0-or-later
"""UNet and image encoder, stock and fast, eager and as CUDA graphs: `python -m benchmarks.guidance`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from backend.devices import pick_device, pick_dtype
from backend.diffusion.fast.graphs import Graphed
from backend.diffusion.model import MultiViewDiffusion
from benchmarks import full_size
from benchmarks.ceilings import describe
from benchmarks.results import add_options, finish
from benchmarks.stopwatch import Stopwatch
from benchmarks.traffic import CountedWork

Work = Callable[[], tuple[Tensor, ...]]
SKIPPED = 4
"""Calls before the measured ones: the second captures, and memory settles."""

log = logging.getLogger(__name__)


def main() -> int:
    """Measures, prints a table, and writes JSON."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    device = pick_device(arguments.device)
    dtype = pick_dtype(device, 256, arguments.precision)
    log.info("Measuring what the device does at best")
    result: dict[str, Any] = describe(device, dtype)
    log.info("Making the networks")
    stock = full_size.build(device, dtype, arguments.tiny)
    expected: dict[str, tuple[Tensor, ...]] = {}
    _measure("stock", stock, result, expected, arguments)
    # On the CPU: no other model is to be in the memory that is measured.
    weights = {name: _on_cpu(part) for name, part in stock.parts.items()}
    del stock
    fast = _accelerated(_with_weights(weights, device, dtype, arguments))
    for kind, setting in _variants(arguments):
        with setting:
            _measure(kind, fast, result, expected, arguments)
    if arguments.profile:
        for name, work in _works(fast, arguments).items():
            _profile(name, work, device)
    del fast
    if arguments.compile:
        model = _with_weights(weights, device, dtype, arguments)
        model.accelerate(graphs=False, compiled=("unet", "vae"))
        _measure("compiled", model, result, expected, arguments)
    finish(arguments, result)
    return 0


def _on_cpu(part: nn.Module) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in part.state_dict().items()}


def _with_weights(
    weights: dict[str, dict[str, Tensor]],
    device: torch.device,
    dtype: torch.dtype,
    arguments: argparse.Namespace,
) -> MultiViewDiffusion:
    """A model with weights of another one's parts."""
    model = full_size.build(device, dtype, arguments.tiny)
    for name, part in model.parts.items():
        part.load_state_dict(weights[name])
    return model


def _accelerated(model: MultiViewDiffusion) -> MultiViewDiffusion:
    """On the CPU too, for rehearsals."""
    if model.device.type == "cuda":
        return model.accelerate(graphs=False)
    return model.fuse()


def _variants(arguments: argparse.Namespace) -> Iterator[tuple[str, AbstractContextManager[Any]]]:
    """What the fast networks are called and in which setting of PyTorch they run; the usual one first."""
    log.info("cudnn.benchmark is %s", torch.backends.cudnn.benchmark)
    yield "fast", nullcontext()
    if arguments.cudnn_benchmark:
        yield "fast, cudnn.benchmark", _searched()
    for name in arguments.attention:
        yield f"fast, {name} attention", _attention(name)


@contextmanager
def _searched() -> Iterator[None]:
    """Convolutions by what cuDNN finds fastest for each shape, instead of by what it thinks is."""
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _attention(name: str) -> AbstractContextManager[Any]:
    """That kernel where it can be used, others where not."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    order = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}
    rest = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    return sdpa_kernel([order[name], *rest], set_priority=True)


def _measure(
    kind: str,
    model: MultiViewDiffusion,
    result: dict[str, Any],
    expected: dict[str, tuple[Tensor, ...]],
    arguments: argparse.Namespace,
) -> None:
    """Rows of one model; the first model's results are what the others' are compared with."""
    for way in ("eager", "graph") if model.device.type == "cuda" else ("eager",):
        if way == "graph":
            model._graphs = {
                "unet": Graphed("UNet", model._run_unet),
                "vae": Graphed("encoder", model._run_vae),
            }
        for name, work in _works(model, arguments).items():
            if kind == "compiled" and name.endswith("forward"):
                continue  # only the encoder that is differentiated is compiled
            log.info("Measuring %s, %s %s", name, kind, way)
            row = _timed(work, model.device, arguments.steps)
            outputs = work()
            floor = expected.setdefault(name, outputs)
            row["error"] = max(_error(a, b) for a, b in zip(outputs, floor, strict=True))
            if kind == "compiled":
                # Once its work was counted, PyTorch's compiler would leave a network alone.
                row |= {key: result[f"{name}, stock {way}"][key] for key in ("floor_ms", "roofline_ms")}
            else:
                counted, rate = _count(work, model), result["matmul_tflops"] * 1e12
                row["floor_ms"] = counted.total / rate * 1e3
                row["roofline_ms"] = counted.seconds(rate, result["copy_gb_s"] * 1e9) * 1e3
            result[f"{name}, {kind} {way}"] = row
            _show(f"{name}, {kind} {way}", row)
            model.release_graphs()


def _works(model: MultiViewDiffusion, arguments: argparse.Namespace) -> dict[str, Work]:
    """What is measured, by name; each gives its results."""
    generator = torch.Generator(model.device).manual_seed(0)
    found: dict[str, Work] = {}
    for count in arguments.images:
        found[f"unet {2 * count}"] = _unet_work(model, 2 * count, generator)
        images = torch.rand(count, 256, 256, 3, generator=generator, device=model.device)
        found[f"encoder {count}, forward"] = lambda images=images: _encode(model, images)  # type: ignore[misc]
        found[f"encoder {count}, with gradient"] = lambda images=images: _pull(model, images)  # type: ignore[misc]
    return found


def _unet_work(model: MultiViewDiffusion, batch: int, generator: torch.Generator) -> Work:
    device = model.device
    # As guidance has it: the same latents and cameras with the prompt and without.
    latents = torch.randn(batch // 2, *model.latent_shape, generator=generator, device=device).repeat(
        2, 1, 1, 1
    )
    context = torch.cat(full_size.contexts(device))
    camera = torch.randn(batch // 2, 16, generator=generator, device=device).repeat(2, 1)
    steps = torch.full((batch,), 500, device=device)

    def work() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (model.predict_noise(latents, steps, context, camera, repeated=True),)

    return work


def _encode(model: MultiViewDiffusion, images: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return (model.encode_images(images),)


def _pull(model: MultiViewDiffusion, images: Tensor) -> tuple[Tensor, ...]:
    leaf = images.clone().requires_grad_()
    latents = model.encode_images(leaf)
    return latents.detach(), *torch.autograd.grad(latents.square().sum(), leaf)


def _timed(work: Work, device: torch.device, steps: int) -> dict[str, float]:
    watch = Stopwatch(device)
    for number in range(SKIPPED + steps):
        if number == SKIPPED and device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        with watch.measure("work"):
            work()
        watch.end_step()
    cuda = device.type == "cuda"
    return {
        "ms": median(watch.series("work")[SKIPPED:]),
        # Reserved, and not allocated: a graph's own pool counts as allocated only while it is captured.
        "reserved_gib": torch.cuda.max_memory_reserved() / 2**30 if cuda else 0.0,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0,
    }


def _count(work: Work, model: MultiViewDiffusion) -> CountedWork:
    """Matrix products, convolutions, attention. Of eager calls: a graph is not seen."""
    graphs, model._graphs = model._graphs, {}
    with CountedWork() as counted:
        work()
    model._graphs = graphs
    return counted


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _show(name: str, row: dict[str, float]) -> None:
    log.info(
        "%-48s %8.2f ms, floor %6.2f ms, with bytes %6.2f, %5.2f GiB peak, %5.2f reserved, error %.1e",
        name,
        row["ms"],
        row["floor_ms"],
        row["roofline_ms"],
        row["peak_gib"],
        row["reserved_gib"],
        row["error"],
    )


def _profile(name: str, work: Work, device: torch.device, rows: int = 30) -> None:
    from torch.profiler import ProfilerActivity, profile

    cuda = device.type == "cuda"
    work()
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiler:
        work()
        if cuda:
            torch.cuda.synchronize()
    events = profiler.key_averages()
    times = [(e.self_device_time_total if cuda else e.self_cpu_time_total, e.count, e.key) for e in events]
    log.info("%s: %.2f ms in kernels", name, sum(time for time, _, _ in times) / 1e3)
    for time, count, key in sorted(times, reverse=True)[:rows]:
        log.info("%9.3f ms %5d  %s", time / 1e3, count, key[:90])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guidance", description=__doc__)
    parser.add_argument("--images", nargs="+", type=int, default=[4, 8], help="the UNet gets twice as many")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--profile", action="store_true", help="the fast networks' kernels by time")
    parser.add_argument(
        "--cudnn-benchmark", action="store_true", help="the fast ones again, convolutions searched"
    )
    parser.add_argument(
        "--attention",
        nargs="+",
        choices=("cudnn", "flash"),
        default=[],
        help="the fast ones again, with these",
    )
    parser.add_argument("--compile", action="store_true", help="by torch.compile, too")
    parser.add_argument("--tiny", action="store_true", help="small networks, to rehearse")
    add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
