# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory this machine has, and how much of it is free. No torch, except to ask a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
_VM_STAT = "/usr/bin/vm_stat"


def free_memory(device: torch.device) -> int:
    """Bytes that a job may still take on `device`; for a CPU those of the computer."""
    import torch

    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What PyTorch holds and does not use is there for the job too.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        # Apple's GPU shares the computer's memory and gets about two thirds of it at most.
        left = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return max(0, min(left, available_ram()))
    return available_ram()


def total_ram() -> int:
    """Bytes of memory this process can have at most; 0 where the system does not tell."""
    found = _total()
    limit = _group_limit()
    return min(found, limit) if found and limit else found


def available_ram() -> int:
    """Bytes that programs can still take without swapping; `total_ram` where the system does not tell."""
    found = _available()
    limit = _group_limit()
    if limit:
        left = max(0, limit - _group_used())
        return min(found, left) if found else left
    return found or total_ram()


def parse_meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo as bytes by name."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    return {name: int(number) * 1024 for name, number in found}


def parse_vm_stat(text: str) -> int:
    """Bytes that macOS can hand out, from what `vm_stat` prints; 0 where it can't be read."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = {
        name: int(number) for name, number in re.findall(r'^"?([\w -]+)"?:\s+(\d+)\.$', text, re.MULTILINE)
    }
    names = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")
    return int(size[1]) * sum(pages.get(name, 0) for name in names) if size else 0


def _total() -> int:
    if sys.platform == "win32":
        return _windows().ullTotalPhys
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def _available() -> int:
    if sys.platform == "win32":
        return _windows().ullAvailPhys
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return parse_vm_stat(subprocess.check_output([_VM_STAT], text=True, timeout=10))
        return 0
    with contextlib.suppress(OSError):
        return parse_meminfo(_MEMINFO.read_text(encoding="ascii")).get("MemAvailable", 0)
    return 0


def _group_limit() -> int:
    """What a container may have (cgroup v2), else 0."""
    text = _read(_GROUP / "memory.max")
    return int(text) if text.isdigit() else 0


def _group_used() -> int:
    """Of that: what is taken and can't be given back. Cached files can."""
    current = _read(_GROUP / "memory.current")
    cached = re.search(r"^inactive_file (\d+)$", _read(_GROUP / "memory.stat"), re.MULTILINE)
    return max(0, int(current) - (int(cached[1]) if cached else 0)) if current.isdigit() else 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = [
        ("dwLength", ctypes.c_ulong),
        ("dwMemoryLoad", ctypes.c_ulong),
        ("ullTotalPhys", ctypes.c_ulonglong),
        ("ullAvailPhys", ctypes.c_ulonglong),
        ("ullTotalPageFile", ctypes.c_ulonglong),
        ("ullAvailPageFile", ctypes.c_ulonglong),
        ("ullTotalVirtual", ctypes.c_ulonglong),
        ("ullAvailVirtual", ctypes.c_ulonglong),
        ("ullAvailExtendedVirtual", ctypes.c_ulonglong),
    ]
    ullTotalPhys: int
    ullAvailPhys: int


def _windows() -> _MemoryStatus:
    status = _MemoryStatus(dwLength=ctypes.sizeof(_MemoryStatus))
    library = getattr(ctypes, "windll")  # noqa: B009 - it exists on Windows only, and mypy knows that
    library.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status
