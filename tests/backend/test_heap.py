# SPDX-License-Identifier: GPL-3.0-or-later
"""Freed memory stays with the process."""

import os
import subprocess
import sys

import pytest

from backend.heap import _SETTINGS, keep_freed

FAULTS = """
import resource, sys
from backend.heap import keep_freed
import numpy
if sys.argv[1] == "keep":
    assert keep_freed()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        numpy.ones(2 << 20, numpy.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def glibc() -> bool:
    try:
        return "glibc" in os.confstr("CS_GNU_LIBC_VERSION")  # type: ignore[operator]
    except (AttributeError, TypeError, ValueError, OSError):
        return False


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have some; child processes inherit what there is."""
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(not glibc(), reason="only GNU's C library can be asked")
def test_the_next_array_gets_the_pages_of_the_last_one() -> None:
    def faults(way: str, **environment: str) -> int:
        # Without its own way of finding thresholds, so that other versions of the library fault as well.
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
        command = [sys.executable, "-c", FAULTS, way]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stdout)

    pages = 20 * (2 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert faults("keep") < pages // 10
    assert faults("leave", MALLOC_MMAP_THRESHOLD_=str(1 << 20)) >= pages


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_the_users_own_settings_win(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert not keep_freed()


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert not keep_freed()
