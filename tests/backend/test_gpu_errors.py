# SPDX-License-Identifier: GPL-3.0-or-later
"""What exceptions of a GPU are taken for, by the words that PyTorch and Triton use."""

import pytest
import torch

from backend.errors import UserError
from backend.gpu_errors import crashes_explained, is_crash, is_shortage
from backend.kernel_switch import VARIABLE, kernels_allowed

ILLEGAL = """CUDA error: an illegal memory access was encountered
Search for `cudaErrorIllegalAddress' in the documentation for more information.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1"""


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError(ILLEGAL),
        RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
        RuntimeError("CUDA error: unspecified launch failure"),
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED_CUDART"),
    ],
)
def test_a_crash_ends_in_a_sentence_with_the_way_out(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert is_crash(error)
    assert not is_shortage(error)
    with (
        pytest.raises(UserError, match=r"Resume the job\..*MVDREAM_KERNELS=off") as told,
        crashes_explained(),
    ):
        raise error
    assert "CUDA_LAUNCH_BLOCKING" not in str(told.value)
    assert told.value.__cause__ is error


def test_without_kernels_it_was_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "off")
    with pytest.raises(UserError, match="no kernel of this program's own"), crashes_explained():
        raise RuntimeError(ILLEGAL)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
)
def test_a_shortage_is_no_crash(error: Exception) -> None:
    assert is_shortage(error)
    assert not is_crash(error)
    with pytest.raises(type(error)), crashes_explained():
        raise error


def test_what_a_process_survives_is_neither() -> None:
    for text in ("no kernel image is available", "operation not permitted when stream is capturing"):
        error = torch.AcceleratorError(f"CUDA error: {text}")
        assert not is_crash(error)
        assert not is_shortage(error)


def test_a_shortage_that_the_end_of_a_capture_hides_is_found() -> None:
    error = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    assert not is_shortage(error)
    error.__context__ = torch.OutOfMemoryError("CUDA out of memory")
    assert is_shortage(error)


def test_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, allowed in {"": True, "auto": True, "off": False, " OFF ": False}.items():
        monkeypatch.setenv(VARIABLE, value)
        assert kernels_allowed() is allowed
    monkeypatch.setenv(VARIABLE, "of")
    with pytest.raises(UserError, match="MVDREAM_KERNELS is 'of'"):
        kernels_allowed()
