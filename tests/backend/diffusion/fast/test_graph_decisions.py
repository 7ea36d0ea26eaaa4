# SPDX-License-Identifier: GPL-3.0-or-later
"""When a graph is captured, replayed, given up and released; the capture itself is a stand-in."""

import gc
import logging
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.diffusion.fast import graphs
from backend.diffusion.fast.graphs import Graphed
from backend.diffusion.model import MultiViewDiffusion
from backend.kernel_switch import VARIABLE

SHORTAGE = torch.OutOfMemoryError("CUDA out of memory")


class Card:
    """Where graphs would be: what was done to it, and what the next captures fail with."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failures: list[Exception] = []
        self.busy = False

    def count(self, what: str) -> int:
        return self.done.count(what)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    made = Card()

    class Captured:
        def __init__(self, function: Any, inputs: Any, with_gradient: bool, call: Any) -> None:
            made.done.append("capture")
            if made.failures:
                raise made.failures.pop(0)
            self.call, self.device, self._function = call, inputs[0].device, function

        @property
        def busy(self) -> bool:
            return made.busy

        def forward(self, inputs: Any) -> Tensor:
            made.done.append("replay")
            return torch.as_tensor(-1.0)

        def hold(self, use: Any) -> None:
            pass

        def __del__(self) -> None:
            made.done.append("freed")

    monkeypatch.setattr(graphs, "_Captured", Captured)
    monkeypatch.setattr(graphs, "_can_capture", lambda x: True)
    monkeypatch.setattr(graphs, "_wait_for", lambda device: made.done.append("wait"))
    return made


@pytest.fixture
def graphed(card: Card) -> Graphed:
    def plainly(x: Tensor, key: Any = None) -> Tensor:
        card.done.append("plain")
        return x.sum()

    return Graphed("UNet", plainly)


def test_a_call_is_captured_when_it_comes_again(card: Card, graphed: Graphed) -> None:
    x = torch.zeros(3)
    assert graphed(x) == 0
    assert card.done == ["plain"]
    assert graphed(x) == -1
    assert graphed(x + 1) == -1
    assert card.done[1:] == ["capture", "replay", "replay"]


@pytest.mark.parametrize(
    "other",
    [torch.zeros(4), torch.zeros(3).double(), torch.zeros(6)[::2], torch.zeros(3, requires_grad=True)],
)
def test_another_call_goes_without_and_the_graph_stays(card: Card, graphed: Graphed, other: Tensor) -> None:
    x = torch.zeros(3)
    for _ in range(2):
        graphed(x)
    graphed(other)
    graphed(x)
    assert card.done == ["plain", "capture", "replay", "plain", "replay"]


def test_work_that_changed_for_good_frees_the_old_graph_first(card: Card, graphed: Graphed) -> None:
    x = torch.zeros(3)
    for key in (1, 1, 2, 2):
        graphed(x, key=key)
    assert card.done == ["plain", "capture", "replay", "plain", "wait", "freed", "capture", "replay"]


def test_a_forward_pass_whose_backward_is_to_come_is_not_overwritten(card: Card, graphed: Graphed) -> None:
    x = torch.zeros(3, requires_grad=True)
    graphed(x)
    graphed(x)
    card.busy = True
    assert graphed(x) == 0
    assert card.done == ["plain", "capture", "replay", "plain"]


def test_the_device_comes_to_rest_before_a_graph_is_freed(card: Card, graphed: Graphed) -> None:
    graphed(torch.zeros(3))
    graphed(torch.zeros(3))
    graphed.release()
    assert card.done[-2:] == ["wait", "freed"]
    graphed.release()
    assert card.count("wait") == 1
    graphed(torch.zeros(3))
    assert card.done[-2:] == ["capture", "replay"]


def test_what_no_graph_can_hold_is_said_once_and_not_tried_again(
    card: Card, graphed: Graphed, caplog: pytest.LogCaptureFixture
) -> None:
    card.failures.append(RuntimeError("operation not permitted when stream is capturing\nmore"))
    for _ in range(100):
        assert graphed(torch.zeros(3)) == 0
    assert card.count("capture") == 1
    assert (
        caplog.text.count("can't become a CUDA graph (operation not permitted when stream is capturing)") == 1
    )
    graphed.release()
    graphed(torch.zeros(3))
    assert card.count("capture") == 1


def test_short_memory_is_waited_for_with_patience(
    card: Card, graphed: Graphed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    card.failures += [SHORTAGE, SHORTAGE]
    tries = []
    for number in range(200):
        graphed(torch.zeros(3))
        if card.count("capture") > len(tries):
            tries.append(number)
    first, second, third = tries
    assert second - first == graphs._PAUSE + 1
    assert third - second == 2 * graphs._PAUSE + 1
    assert card.count("replay") == 200 - third
    assert caplog.text.count("Memory is short") == 1


def test_after_room_was_made_a_capture_is_tried_at_once(card: Card, graphed: Graphed) -> None:
    card.failures.append(SHORTAGE)
    for _ in range(3):
        graphed(torch.zeros(3))
    assert card.count("capture") == 1
    graphed.release()
    assert graphed(torch.zeros(3)) == -1


def test_a_crash_is_no_reason_to_go_on(card: Card, graphed: Graphed) -> None:
    card.failures.append(RuntimeError("CUDA error: an illegal memory access was encountered"))
    graphed(torch.zeros(3))
    with pytest.raises(RuntimeError, match="illegal"):
        graphed(torch.zeros(3))


def accelerated(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> MultiViewDiffusion:
    """A model that takes its device for a card with graphs, but no kernels."""
    found = tiny("v21")
    model = MultiViewDiffusion(found.config, found.unet, found.vae)
    monkeypatch.setattr(MultiViewDiffusion, "device", property(lambda self: torch.device("cuda")))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    return model.accelerate()


def test_a_models_graphs_do_not_keep_it(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = accelerated(tiny, monkeypatch)
    assert set(model._graphs) == {"unet", "vae"}
    latents = model.encode_images(torch.rand(1, 32, 32, 3))  # through a Graphed
    assert latents.shape[0] == 1
    gc.disable()
    try:
        alive = weakref.ref(model)
        del model
        assert alive() is None
    finally:
        gc.enable()


def test_no_graphs_where_kernels_are_switched_off(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "off")
    assert accelerated(tiny, monkeypatch)._graphs == {}
