# SPDX-License-Identifier: GPL-3.0-or-later
"""What an exception says of a GPU: that memory is short, or that nothing works there any more. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backend.errors import UserError
from backend.kernel_switch import VARIABLE, kernels_allowed

_SHORTAGES = (
    "out of memory",
    "alloc_failed",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
)
# Of CUDA, cuBLAS and cuDNN, as PyTorch and Triton pass them on. The type tells less: AcceleratorError is also
# raised for what a process survives, such as a call that can't be captured in a graph.
_CRASHES = (
    "illegal memory access",
    "illegal instruction",
    "illegal address",
    "misaligned address",
    "unspecified launch failure",
    "launch timed out",
    "device-side assert",
    "invalid program counter",
    "hardware stack error",
    "operation not supported on global/shared address space",
    "status_execution_failed",
)


def is_shortage(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or for a tensor of the CPU. Smaller work may go on."""
    return _says(error, _SHORTAGES)


def shortage_of(work: Callable[[], None]) -> RuntimeError | None:
    """Does the work. The error, if memory ran out; it holds none of the work's tensors, which are free."""
    try:
        work()
    except RuntimeError as error:
        if not is_shortage(error):
            raise
        return error.with_traceback(None)
    return None


def is_crash(error: BaseException) -> bool:
    """Whether a kernel crashed: whatever this process asks of the GPU from then on fails as well."""
    return _says(error, _CRASHES)


@contextmanager
def crashes_explained() -> Iterator[None]:
    """A kernel's crash inside ends in a UserError that names the way out; everything else passes."""
    try:
        yield
    except RuntimeError as error:
        if not is_crash(error):
            raise
        raise UserError(_explain(error)) from error


def _explain(error: BaseException) -> str:
    reason = next((line.strip() for line in str(error).splitlines() if _has(line, _CRASHES)), str(error))
    said = [f"A kernel crashed on the graphics card ({reason.rstrip('.')}): this process can't go on."]
    if kernels_allowed():
        said.append(
            f"Resume the job. If it crashes again, set the environment variable {VARIABLE}=off (for Blender:"
            " before it starts) and resume it then: plain PyTorch does the work, more slowly."
        )
    else:
        said.append(
            f"{VARIABLE} is off, so it was no kernel of this program's own: driver or card may be at fault."
            " Resume the job, or choose the device 'cpu'."
        )
    return " ".join(said)


def _says(error: BaseException | None, signs: tuple[str, ...]) -> bool:
    """Also where one exception came up while another was on its way, as when a failed capture is ended."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if _has(f"{type(error).__name__}: {error}", signs):
            return True
        error = error.__cause__ or error.__context__
    return False


def _has(text: str, signs: tuple[str, ...]) -> bool:
    text = text.lower()
    return any(sign in text for sign in signs)
