# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernels against plain PyTorch, on the card."""

import pytest
import torch
import torch.nn.functional as F

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_kernel_on_small_maps(dtype: torch.dtype) -> None:
    pytest.importorskip("triton")
    from backend.diffusion.fast.trial import errors

    limit = {torch.float32: 1e-5, torch.bfloat16: 6e-3, torch.float16: 1e-3}[dtype]
    assert max(float(error) for error in errors(torch.device("cuda"), dtype)) < limit


@pytest.mark.parametrize(("channels", "side"), [(128, 256), (320, 32), (1920, 16), (2560, 4), (512, 33)])
def test_norm_and_gradient_of_real_sizes(channels: int, side: int) -> None:
    pytest.importorskip("triton")
    from backend.diffusion.fast.operations import fork_norm

    generator = torch.Generator("cuda").manual_seed(0)
    module = torch.nn.GroupNorm(32, channels).cuda()
    x = torch.randn(2, channels, side, side, device="cuda", generator=generator) + 3
    weight = torch.randn(x.shape, device="cuda", generator=generator)
    results = []
    for fused in (False, True):
        leaf = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        y, beside = fork_norm(leaf, module, True) if fused else (F.silu(module(leaf)), leaf)
        results.append((y, *torch.autograd.grad((y * weight + beside * weight).sum(), leaf)))
    for found, expected in zip(results[1], results[0], strict=True):
        assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_graphs_give_the_same_and_nothing_is_overwritten() -> None:
    from benchmarks import full_size

    device = torch.device("cuda")
    stock, fast = (full_size.build(device, torch.float32, tiny=True) for _ in range(2))
    for mine, theirs in zip(fast.parts.values(), stock.parts.values(), strict=True):
        mine.load_state_dict(theirs.state_dict())
    fast.accelerate()
    images = [torch.rand(4, 256, 256, 3, device=device) for _ in range(4)]
    kept = []
    for picture in images:
        results = []
        for model in (stock, fast):
            x = picture.clone().requires_grad_()
            latents = model.encode_images(x)
            noise = model.predict_noise(
                latents.detach(), torch.full((4,), 500, device=device),
                torch.ones(4, 77, 1024, device=device), torch.ones(4, 16, device=device),
            )  # fmt: skip
            results.append((latents.detach(), noise, *torch.autograd.grad(latents.square().sum(), x)))
        kept.append(results)
    for expected, found in kept:
        for a, b in zip(expected, found, strict=True):
            assert float((a - b).norm() / a.norm()) < 1e-2  # TF32 in convolutions


def test_a_graph_sees_another_prompt() -> None:
    """Products of the context are made once a pass, and each replay is a pass."""
    from backend.diffusion.fast.sharing import share
    from benchmarks import full_size

    device = torch.device("cuda")
    stock, fast = (full_size.build(device, torch.float32, tiny=True) for _ in range(2))
    for mine, theirs in zip(fast.parts.values(), stock.parts.values(), strict=True):
        mine.load_state_dict(theirs.state_dict())
    fast.accelerate()
    assert fast.unet is not None
    share(fast.unet)
    generator = torch.Generator(device).manual_seed(0)
    latents, camera = (
        torch.randn(4, *size, device=device, generator=generator) for size in ((4, 32, 32), (16,))
    )
    before = None
    for number in range(5):
        steps = torch.full((4,), 100 + number, device=device)
        context = torch.randn(4, 77, 1024, device=device, generator=generator)
        with torch.no_grad():
            a, b = (model.predict_noise(latents, steps, context, camera) for model in (stock, fast))
        assert float((a - b).norm() / a.norm()) < 1e-2  # TF32 in convolutions
        assert before is None or float((b - before).norm() / b.norm()) > 5e-2
        before = b
    assert fast._graphs["unet"]._captured is not None
