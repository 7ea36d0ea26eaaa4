# SPDX-License-Identifier: GPL-3.0-or-later
"""All kinds, in an empty scene of Blender."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
os.environ.setdefault("LIBGL_ALWAYS_SOFTWARE", "1")

_status = {"code": 0}


@pytest.fixture(scope="session")
def kinds():
    bpy = pytest.importorskip("bpy")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    from toyworld.kinds import load_all

    return load_all()


@pytest.fixture(scope="session")
def rests(kinds):
    from toyworld.render import kinds_to_rest_on

    return kinds_to_rest_on(kinds)


def pytest_sessionfinish(session, exitstatus):
    _status["code"] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Some Blender versions crash while the interpreter shuts down; all reports are written by now."""
    if "bpy" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status["code"])
