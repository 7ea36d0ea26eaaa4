# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hardware does at best, measured in the same run: matrix products and memory."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.stopwatch import Stopwatch


def describe(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What every result begins with: the device, PyTorch, the precision, and the ceilings measured now."""
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "dtype": str(dtype),
        "matmul_tflops": matmul_flops(device, dtype) / 1e12,
        "copy_gb_s": copy_bytes(device) / 1e9,
    }


def matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / _seconds(device, lambda: a @ b)


def copy_bytes(device: torch.device) -> float:
    """Bytes a second, read and written, of a large copy."""
    numbers = torch.empty(2**28 if device.type == "cuda" else 2**24, device=device)
    target = torch.empty_like(numbers)
    return 2 * numbers.nbytes / _seconds(device, lambda: target.copy_(numbers))


def _seconds(device: torch.device, work: object, repeats: int = 20) -> float:
    assert callable(work)
    watch = Stopwatch(device)
    for _ in range(repeats):
        with watch.measure("work"):
            work()
        watch.end_step()
    return min(watch.series("work")) / 1e3
