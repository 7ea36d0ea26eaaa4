# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong in PyTorch's compiler, as a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import UserError
from backend.gpu_errors import is_crash, is_shortage

_HOMES = ("torch._dynamo.", "torch._inductor.", "triton.")


@contextmanager
def compile_failures_explained() -> Iterator[None]:
    """An error of torch.compile inside ends in a UserError that says what to do.

    Everything else passes, and so do shortages of memory and crashes of kernels, which the compiler only
    hands on. Known by where its type is defined: the names of the types differ between versions of PyTorch,
    and importing them would import the compiler.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(_HOMES) or is_shortage(error) or is_crash(error):
            raise
        raise UserError(
            f"torch.compile does not work here ({_reason(error)}). compile must be left out, or what is"
            " missing installed: most often that is a C++ compiler, or Python's headers."
        ) from error


def _reason(error: Exception) -> str:
    """The line that tells most: a compiler's own complaint, else the first that does not announce another."""
    lines = [line.strip() for line in str(error).split("\n")]
    lines = [line for line in lines if line and not line.endswith(":")]
    complaints = [line for line in lines if "error: " in line]
    return (complaints or lines or [type(error).__name__])[0]
