# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the three trials of kernels where these are switched off, fail, or crash the card."""

import contextlib
import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch

from backend.diffusion.fast import trial as networks
from backend.errors import UserError
from backend.kernel_switch import VARIABLE
from backend.kernel_trial import side_by_side
from backend.radiance import hash_grid

CRASH = "Triton Error [CUDA]: an illegal memory access was encountered"
Trial = tuple[Callable[[], bool], Callable[[Callable[..., Any]], None]]


@pytest.fixture(params=["networks", "grid", "field"])
def trial(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """One of them, as on a card, and what replaces the comparison with PyTorch that it makes."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    if request.param == "field":
        pytest.importorskip("triton")
        from backend.radiance.fused import trial as field

        run: Trial = (
            lambda: field.fused_works(16, 64),
            lambda compare: monkeypatch.setattr(field, "errors", compare),
        )
        cached = field._works_on
    else:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
        if request.param == "grid":
            run = (hash_grid.triton_works, lambda compare: monkeypatch.setattr(hash_grid, "_trial", compare))
            cached = hash_grid._triton_works_on
        else:
            run = (
                lambda: networks.triton_works(torch.device("cuda"), torch.bfloat16),
                lambda compare: monkeypatch.setattr(networks, "errors", compare),
            )
            cached = networks._works_on
    cached.cache_clear()
    yield run
    cached.cache_clear()


def fail(error: Exception) -> Callable[..., Any]:
    def compare(*_: Any) -> Any:
        raise error

    return compare


def test_switched_off_nothing_is_tried(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from backend import kernel_switch

    kernel_switch._tell.cache_clear()
    works, replace = trial
    tried: list[bool] = []
    replace(lambda *_: tried.append(True))
    monkeypatch.setenv(VARIABLE, "off")
    assert not works()
    assert not works()
    assert tried == []
    assert caplog.text.count("MVDREAM_KERNELS is off") == 1


def test_a_failure_leaves_the_work_to_pytorch(trial: Trial, caplog: pytest.LogCaptureFixture) -> None:
    works, replace = trial
    replace(fail(RuntimeError("ptxas is too old")))
    assert not works()
    assert "can't be used (ptxas is too old)" in caplog.text


def test_a_crash_is_told_with_the_way_out(trial: Trial) -> None:
    works, replace = trial
    replace(fail(RuntimeError(CRASH)))
    with pytest.raises(UserError, match=VARIABLE):
        works()


def test_what_agrees_is_used_and_what_does_not_is_not(trial: Trial, request: Any) -> None:
    works, replace = trial
    right, wrong = torch.ones(2), torch.full((2,), 1.5)
    if "grid" in request.node.name:
        # Asked twice: for PyTorch's results, and for the kernels'.
        answers = iter([[right], [wrong]])
        replace(lambda kernels: next(answers))
    else:
        replace(lambda *sizes: [right[0] * 1e-6, right[0] * 0.5])
    assert not works()
    hash_grid._triton_works_on.cache_clear()
    networks._works_on.cache_clear()
    if "field" not in request.node.name:
        replace(lambda *given: [right] if len(given) == 1 else [right[0] * 1e-6])
        assert works()


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine with several cards, of which number 3 is the current one; which ones threads asked for."""
    asked: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    return asked


def test_on_a_card_works_go_side_by_side_and_come_back_in_order(card: list[int]) -> None:
    met = threading.Barrier(3, timeout=30)  # passed by all three at once, or never

    def work(number: int) -> int:
        met.wait()
        return number

    with torch.no_grad():
        assert side_by_side([partial(work, number) for number in range(3)]) == [0, 1, 2]
        assert side_by_side([torch.is_grad_enabled]) == [True]
    assert card == [3] * 4


def test_the_first_works_error_is_raised_once_all_have_ended(card: list[int]) -> None:
    ended = []

    def last() -> None:
        time.sleep(0.1)
        ended.append("last")

    works = [lambda: None, fail(UserError("first")), fail(ValueError("second")), last]
    with pytest.raises(UserError, match="first"):
        side_by_side(works)
    assert ended == ["last"]


def test_a_crash_is_raised_before_what_others_failed_of(card: list[int]) -> None:
    handle = RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        side_by_side([fail(handle), fail(ValueError("other")), fail(RuntimeError(CRASH))])


def test_without_a_card_they_go_one_after_another() -> None:
    here = threading.current_thread()
    assert side_by_side([threading.current_thread] * 2) == [here, here]
