# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device a job runs on, and in which precision: one rule for CUDA, ROCm, Apple's MPS and the CPU."""

from __future__ import annotations

import logging
import re

import torch

from backend.errors import UserError

PRECISIONS: dict[str, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}
HALF_PRECISION_FROM = 256
"""Models with smaller images stay in float32: half precision would save nothing worth having."""

# AMD GPUs that multiply bfloat16 in hardware: the matrix cores of MI100 and later, RDNA 3 and later.
_HIP_BF16 = re.compile(r"gfx(908|90a|94|95|11|12)")
_NAME = re.compile(r"auto|cpu|mps|cuda(?::\d+)?")

log = logging.getLogger(__name__)


def pick_device(name: str) -> torch.device:
    """The device called `name`: "auto" (the best there is), "cpu", "cuda", "cuda:N" or "mps".

    A GPU of AMD is "cuda" too: PyTorch's build for ROCm calls it so.

    Raises UserError when this machine does not have it, or this PyTorch can't compute on it.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"There is no device {name!r}. Devices: auto, cpu, cuda, cuda:N (such as cuda:0), mps."
        )
    device = _best() if name == "auto" else torch.device(name)
    if name != "auto" and device.type == "cuda":
        _check_cuda(name, device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(
            "The device 'mps' is not there: this is no Mac with an Apple GPU. Choose 'auto' or 'cpu'."
        )
    return device


def make_current(device: torch.device) -> None:
    """Makes a CUDA device the one where kernels run that are told nothing, as Triton's are."""
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)


def pick_dtype(device: torch.device, image_size: int, wanted: str = "auto") -> torch.dtype:
    """Precision of the networks: `wanted` ("bf16", "fp16", "fp32"), or for "auto" what suits the device.

    bfloat16 where the GPU really has it, else float16 where it is fast and sound, else float32; float32 for
    models whose images are below `HALF_PRECISION_FROM` pixels.

    Raises UserError for a name that is none, and for a precision that the device lacks.
    """
    if wanted == "auto":
        return torch.float32 if image_size < HALF_PRECISION_FROM else _best_dtype(device)
    if wanted not in PRECISIONS:
        raise UserError(f"There is no precision {wanted!r}. Precisions: auto, {', '.join(PRECISIONS)}.")
    dtype = PRECISIONS[wanted]
    if dtype == torch.bfloat16 and not has_bf16(device):
        raise UserError(
            f"{title(device)} can't compute in bf16. Choose the precision 'auto', 'fp16' or 'fp32'."
        )
    return dtype


def pick_part_dtypes(
    device: torch.device, dtype: torch.dtype, wanted: str = "auto"
) -> dict[str, torch.dtype]:
    """Parts whose precision is not the networks' `dtype`: bfloat16 on a CPU with instructions for it.

    The UNet is never differentiated, and a pass of the small one took 77 ms instead of 106 on one core of an
    EPYC, 71 instead of 88 on two, at a relative error of 0.3 %. The VAE's gradient gained nothing there. With
    AMX the small image encoder gains, both ways on two cores: 8.7 -> 4.1 ms for four pictures of 64 pixels,
    30.3 -> 7.6 for 128; its latents are off by 0.6 %, its gradient by 2.6, as on a GPU.
    """
    if wanted != "auto" or device.type != "cpu" or dtype != torch.float32:
        return {}
    if _cpu_has("_is_amx_tile_supported"):
        return {"unet": torch.bfloat16, "tiny_vae": torch.bfloat16}
    return {"unet": torch.bfloat16} if _cpu_has("_is_avx512_bf16_supported") else {}


def _cpu_has(question: str) -> bool:
    # PyTorch has no public name for it; where even this one is missing, float32 it is.
    return bool(getattr(torch.cpu, question, lambda: False)())


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself.

    PyTorch's own answer counts the emulation on older cards, and on AMD every card.
    """
    if device.type == "mps":
        return _multiplies(device, torch.bfloat16)
    if device.type != "cuda":
        return True
    properties = torch.cuda.get_device_properties(device)
    if torch.version.hip:
        return bool(_HIP_BF16.match(properties.gcnArchName))
    return properties.major >= 8


def is_built_for(device: torch.device) -> bool:
    """Whether this PyTorch has code for a CUDA or ROCm device: each release drops some old cards."""
    built = torch.cuda.get_arch_list()
    properties = torch.cuda.get_device_properties(device)
    if not built:
        return True  # nothing is known, so it may try
    if torch.version.hip:
        return properties.gcnArchName.split(":")[0] in {arch.split(":")[0] for arch in built}
    return runs_on((properties.major, properties.minor), built)


def runs_on(capability: tuple[int, int], built: list[str]) -> bool:
    """Whether code for `built`, such as ["sm_75", "sm_90a", "compute_90"], runs on a card of `capability`.

    Machine code (sm) runs on cards of the same major version and a minor one at least as high, portable code
    (compute) on all later cards. A letter at the end ties the code to exactly that card.
    """
    for arch in built:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", arch)
        if not found:
            continue
        version = int(found[2]), int(found[3])
        if capability == version:
            return True
        later = capability[0] == version[0] if found[1] == "sm" else True
        if not found[4] and later and capability > version:
            return True
    return False


def title(device: torch.device) -> str:
    """What to call a device in a sentence: "NVIDIA GeForce RTX 4090 (cuda:0)"."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (cuda:{device.index or 0})"
    return {"mps": "The Apple GPU", "cpu": "The processor"}.get(device.type, str(device))


def _best() -> torch.device:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            if is_built_for(torch.device("cuda", index)):
                return torch.device("cuda", index) if index else torch.device("cuda")
        log.warning("No GPU here is supported by PyTorch %s, so the processor is used.", torch.__version__)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _check_cuda(name: str, index: int) -> None:
    if not torch.cuda.is_available():
        if not (torch.version.cuda or torch.version.hip):
            raise UserError(
                f"The device {name!r} is not there: PyTorch here is the build for processors only. "
                "`python -m backend doctor` tells what is missing; until then choose 'auto' or 'cpu'."
            )
        raise UserError(
            f"The device {name!r} is not there: PyTorch sees no CUDA GPU. Choose 'auto' or 'cpu'; "
            "`python -m backend doctor` looks for the reason."
        )
    count = torch.cuda.device_count()
    if index >= count:
        there = "1 CUDA GPU, cuda:0" if count == 1 else f"{count} CUDA GPUs, cuda:0 to cuda:{count - 1}"
        raise UserError(f"The device {name!r} is not there: this machine has {there}.")
    device = torch.device("cuda", index)
    if not is_built_for(device):
        raise UserError(
            f"PyTorch {torch.__version__} does not support {title(device)}: the card is too old or too new "
            "for it. Choose 'auto' or 'cpu', or a build of PyTorch that supports this card."
        )


def _best_dtype(device: torch.device) -> torch.dtype:
    if device.type == "mps":
        return torch.float16 if _multiplies(device, torch.float16) else torch.float32
    if device.type != "cuda":
        return torch.float32
    if has_bf16(device):
        return torch.bfloat16
    return torch.float16 if _has_sound_fp16(device) else torch.float32


def _has_sound_fp16(device: torch.device) -> bool:
    """NVIDIA from 5.3 on has it; the GTX 16 series returns NaN in convolutions (PyTorch issue 77955)."""
    if torch.version.hip:
        return True
    capability = torch.cuda.get_device_capability(device)
    return capability >= (5, 3) and "GTX 16" not in torch.cuda.get_device_name(device)


def _multiplies(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a product of that type can be had: what MPS has depends on macOS, and only trying tells."""
    try:
        ones = torch.ones(2, 2, device=device, dtype=dtype)
        return (ones @ ones).dtype == dtype
    except (RuntimeError, TypeError):
        return False
