# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong in PyTorch's compiler, as a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import UserError

_HOMES = ("torch._dynamo.", "torch._inductor.", "triton.")


@contextmanager
def compile_failures_explained() -> Iterator[None]:
    """An error of torch.compile inside ends in a UserError that says what to do; everything else passes.

    Most often there is no C++ compiler. Known by where its type is defined: the names of the types differ
    between versions of PyTorch, and importing them would import the compiler.
    """
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(_HOMES):
            raise
        lines = [line.strip() for line in str(error).split("\n")]
        # The first may only say whose message follows.
        reason = next((line for line in lines if line and not line.endswith(":")), type(error).__name__)
        raise UserError(
            f"torch.compile does not work here ({reason}). Leave the option compile out, or install what is"
            " missing: most often it is a C++ compiler."
        ) from error
