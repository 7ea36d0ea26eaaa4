# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory there is, on systems of all kinds."""

import sys
from pathlib import Path

import pytest
import torch

from backend.memory import free

GB = 2**30


def test_this_machine_has_some_and_not_all_of_it_free() -> None:
    assert 0 < free.available_ram() <= free.total_ram()
    assert free.free_memory(torch.device("cpu")) > 0


def test_meminfo() -> None:
    found = free.parse_meminfo("MemTotal:       16 kB\nMemAvailable:    7 kB\nHugePages_Total:       0\n")
    assert found == {"MemTotal": 16 * 1024, "MemAvailable": 7 * 1024}


def test_vm_stat() -> None:
    text = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                               10.\nPages active:                            999.\n"
        "Pages inactive:                            5.\nPages speculative:                         2.\n"
        'Pages purgeable:                           1.\n"Translation faults":                 77777.\n'
    )
    assert free.parse_vm_stat(text) == 18 * 16384
    assert free.parse_vm_stat("nonsense") == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="control groups")
def test_a_container_has_what_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free, "_GROUP", tmp_path)
    monkeypatch.setattr(free, "_total", lambda: 64 * GB)
    monkeypatch.setattr(free, "_available", lambda: 50 * GB)
    assert (free.total_ram(), free.available_ram()) == (64 * GB, 50 * GB)
    (tmp_path / "memory.max").write_text("max\n")
    assert free.available_ram() == 50 * GB
    (tmp_path / "memory.max").write_text(f"{8 * GB}\n")
    (tmp_path / "memory.current").write_text(f"{5 * GB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {2 * GB}\nfile 9\n")
    # Cached files can be given back: 8 - (5 - 2).
    assert (free.total_ram(), free.available_ram()) == (8 * GB, 5 * GB)


def test_where_the_system_does_not_tell_all_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free, "_available", lambda: 0)
    monkeypatch.setattr(free, "_group_limit", lambda: 0)
    assert free.available_ram() == free.total_ram()


def test_what_pytorch_holds_and_does_not_use_is_free_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert free.free_memory(torch.device("cuda")) == 130


def test_apples_gpu_shares_the_computers_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 100)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 30)
    monkeypatch.setattr(free, "available_ram", lambda: 80)
    assert free.free_memory(torch.device("mps")) == 70
    monkeypatch.setattr(free, "available_ram", lambda: 60)
    assert free.free_memory(torch.device("mps")) == 60
