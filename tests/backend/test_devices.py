# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device and precision are picked, on machines of all kinds."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from backend import devices
from backend.devices import pick_device, pick_dtype, runs_on
from backend.errors import UserError

Machine = Callable[..., None]
H100, RTX_4090, RTX_2080, GTX_1660 = (
    ("H100", 9, 0),
    ("RTX 4090", 8, 9),
    ("RTX 2080", 7, 5),
    ("GTX 1660", 7, 5),
)
GTX_1080, GTX_980, GTX_780 = ("GTX 1080", 6, 1), ("GTX 980", 5, 2), ("GTX 780", 3, 5)
# What PyTorch 2.11 for CUDA 13.0 answers.
BUILT = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """machine([(name, major, minor)], ...) pretends to be one; hip: architectures of AMD cards instead."""

    def pretend(
        cards: tuple = (),
        mps: tuple[torch.dtype, ...] = (),
        built: list[str] | None = None,
        hip: tuple[str, ...] = (),
    ) -> None:
        cards = tuple(SimpleNamespace(name=n, major=a, minor=b, gcnArchName="") for n, a, b in cards)
        cards += tuple(SimpleNamespace(name=f"AMD {g}", major=9, minor=0, gcnArchName=g) for g in hip)

        def card(device: torch.device) -> SimpleNamespace:
            return cards[torch.device(device).index or 0]

        cuda = torch.cuda
        monkeypatch.setattr(cuda, "is_available", lambda: bool(cards))
        monkeypatch.setattr(cuda, "device_count", lambda: len(cards))
        monkeypatch.setattr(cuda, "get_device_properties", card)
        monkeypatch.setattr(cuda, "get_device_name", lambda device: card(device).name)
        monkeypatch.setattr(cuda, "get_device_capability", lambda d: (card(d).major, card(d).minor))
        monkeypatch.setattr(cuda, "get_arch_list", lambda: BUILT if built is None else built)
        monkeypatch.setattr(torch.version, "hip", "7.0" if hip else None)
        monkeypatch.setattr(torch.version, "cuda", None if hip or not cards else "13.0")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: bool(mps))
        if mps:
            monkeypatch.setattr(devices, "_multiplies", lambda device, dtype: dtype in mps)

    return pretend


@pytest.mark.parametrize(
    ("cards", "mps", "best"),
    [
        ((), (), "cpu"),
        ((), (torch.float16,), "mps"),
        ((H100,), (), "cuda"),
        ((GTX_1080, H100), (), "cuda:1"),  # PyTorch has no code for the first
        ((GTX_1080,), (), "cpu"),
    ],
)
def test_auto_is_the_best_there_is(machine: Machine, cards: tuple, mps: tuple, best: str) -> None:
    machine(cards, mps)
    assert pick_device("auto") == torch.device(best)


def test_a_device_that_is_there_is_taken(machine: Machine) -> None:
    machine((H100, RTX_4090), (torch.float16,))
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert pick_device(name) == torch.device(name)


@pytest.mark.parametrize(
    ("name", "cards", "words"),
    [
        ("cuda", (), "'cuda' is not there: PyTorch here is the build for processors only"),
        ("cuda:7", (H100,), "'cuda:7' is not there: this machine has 1 CUDA GPU, cuda:0"),
        ("cuda:2", (H100, H100), "'cuda:2' is not there: this machine has 2 CUDA GPUs, cuda:0 to cuda:1"),
        ("cuda:1", (H100, GTX_1080), r"does not support GTX 1080 \(cuda:1\)"),
        ("mps", (H100,), "'mps' is not there"),
        ("cuda:", (H100,), "There is no device 'cuda:'"),
        ("vulkan", (H100,), "There is no device 'vulkan'"),
    ],
)
def test_a_device_that_is_not_there_is_named(machine: Machine, name: str, cards: tuple, words: str) -> None:
    machine(cards)
    with pytest.raises(UserError, match=words):
        pick_device(name)


def test_a_card_that_pytorch_does_not_see_is_not_called_a_wrong_build(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(UserError, match="PyTorch sees no CUDA GPU"):
        pick_device("cuda")


@pytest.mark.parametrize(
    ("card", "dtype"),
    [
        (H100, torch.bfloat16),
        (RTX_4090, torch.bfloat16),
        (RTX_2080, torch.float16),  # PyTorch emulates bf16 here and calls it supported
        (GTX_1660, torch.float32),  # its float16 convolutions are broken
        (GTX_1080, torch.float16),
        (GTX_980, torch.float32),
    ],
)
def test_precision_of_nvidia_cards(machine: Machine, card: tuple, dtype: torch.dtype) -> None:
    machine((card,))
    assert pick_dtype(torch.device("cuda"), 256) == dtype
    assert pick_dtype(torch.device("cuda"), 64) == torch.float32


@pytest.mark.parametrize(
    ("arch", "dtype"),
    [
        ("gfx90a:sramecc+:xnack-", torch.bfloat16),
        ("gfx1100", torch.bfloat16),
        ("gfx942", torch.bfloat16),
        ("gfx906", torch.float16),
        ("gfx1030", torch.float16),
    ],
)
def test_precision_of_amd_cards(machine: Machine, arch: str, dtype: torch.dtype) -> None:
    machine(hip=(arch,), built=[arch.split(":")[0]])
    device = pick_device("auto")
    assert device == torch.device("cuda")
    assert pick_dtype(device, 256) == dtype


def test_an_amd_card_without_code_is_left_alone(machine: Machine) -> None:
    machine(hip=("gfx803",), built=["gfx906", "gfx1100"])
    assert pick_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("able", "dtype"), [((torch.float16,), torch.float16), ((torch.float32,), torch.float32)]
)
def test_precision_of_apple(machine: Machine, able: tuple, dtype: torch.dtype) -> None:
    machine(mps=able)
    assert pick_dtype(torch.device("mps"), 256) == dtype


def test_precision_of_the_processor() -> None:
    assert pick_dtype(torch.device("cpu"), 256) == torch.float32


def test_the_users_choice_wins_even_for_small_models(machine: Machine) -> None:
    machine((H100,))
    for name, dtype in devices.PRECISIONS.items():
        assert pick_dtype(torch.device("cuda"), 64, name) == dtype


def test_emulated_bf16_is_refused_and_so_is_a_name_that_is_none(machine: Machine) -> None:
    machine((RTX_2080,))
    with pytest.raises(UserError, match=r"RTX 2080 \(cuda:0\) can't compute in bf16"):
        pick_dtype(torch.device("cuda"), 256, "bf16")
    with pytest.raises(UserError, match=r"no precision 'fp8'\. Precisions: auto, bf16, fp16, fp32"):
        pick_dtype(torch.device("cuda"), 256, "fp8")


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((7, 5), ["sm_75"], True),
        ((8, 9), ["sm_80", "sm_86"], True),  # same major version, higher minor
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80"], False),  # machine code does not cross major versions
        ((9, 0), ["compute_80"], True),  # portable code does
        ((9, 0), ["sm_90a"], True),
        ((9, 1), ["sm_90a"], False),  # the letter ties it to one card
        ((12, 0), ["sm_120"], True),
        ((10, 0), ["sm_100"], True),
        ((6, 1), BUILT, False),
        ((3, 5), ["nonsense"], False),
    ],
)
def test_which_code_runs_on_which_card(capability: tuple[int, int], built: list[str], runs: bool) -> None:
    assert runs_on(capability, built) is runs


def test_what_multiplies_is_tried() -> None:
    assert devices._multiplies(torch.device("cpu"), torch.float16)
    assert not devices._multiplies(torch.device("cpu"), torch.bool)


@pytest.mark.parametrize(
    ("bf16", "amx", "parts"),
    [(False, False, ()), (True, False, ("unet",)), (True, True, ("unet", "tiny_vae"))],
)
def test_parts_compute_in_bf16_on_a_cpu_that_gains_by_it(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, amx: bool, parts: tuple[str, ...]
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert devices.pick_part_dtypes(cpu, torch.float32) == dict.fromkeys(parts, torch.bfloat16)
    assert devices.pick_part_dtypes(cpu, torch.float32, "fp32") == {}  # asked for
    assert devices.pick_part_dtypes(cuda, torch.float32) == {}


def test_an_older_pytorch_does_not_know_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name)
    assert devices.pick_part_dtypes(torch.device("cpu"), torch.float32) == {}
