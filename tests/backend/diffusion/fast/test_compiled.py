# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks left to torch.compile, which a tiny model waits for as a large one does."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from backend.compile_failures import compile_failures_explained
from backend.diffusion.lean.autoencoder import Autoencoder
from backend.diffusion.lean.unet import UNet
from backend.errors import UserError
from tests.backend.diffusion.fast.test_fusing import inputs

COMPILER = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", COMPILER)) is None, reason="torch.compile needs a C++ compiler"
)


def is_compiled(module: Any) -> bool:
    assert isinstance(module, nn.Module)
    return module._compiled_call_impl is not None


@pytest.mark.usefixtures("fresh_compiler")
def test_only_what_is_named_is_compiled(tiny: Callable[..., Any]) -> None:
    """Nothing is compiled before it is called, so this needs no compiler."""
    one, both = (
        copy.deepcopy(tiny("v21")).accelerate(compiled=names) for names in (("unet",), ("unet", "vae"))
    )
    assert isinstance(one.unet, UNet)
    assert is_compiled(one.unet)
    assert not is_compiled(one.vae.encoder)
    assert isinstance(both.vae, Autoencoder)
    assert is_compiled(both.vae.encoder)
    assert not any("Fused" in type(module).__name__ for module in both.unet.modules())


@needs_compiler
@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_networks_give_the_same(tiny: Callable[..., Any], relative_error: Any) -> None:
    stock = copy.deepcopy(tiny("v21")).freeze()
    compiled = copy.deepcopy(stock).accelerate(compiled=("unet", "vae"))
    with torch.no_grad():
        expected, found = (model.predict_noise(*inputs(model)) for model in (stock, compiled))
    assert relative_error(found, expected) < 1e-5
    slopes = []
    for model in (stock, compiled):
        images = torch.linspace(0, 1, 4 * 16 * 16 * 3).view(4, 16, 16, 3).requires_grad_()
        slopes.append(torch.autograd.grad(model.encode_images(images).square().sum(), images)[0])
    assert relative_error(slopes[1], slopes[0]) < 1e-4


def failing_backend(message: str) -> Callable[..., Any]:
    def backend(graph: Any, inputs: Any) -> Any:
        raise RuntimeError(message)

    return backend


def test_a_failing_compiler_is_a_sentence() -> None:
    backend = failing_backend("no compiler here\nand a long story")
    expected = pytest.raises(UserError, match=r"torch.compile does not work here \(.*no compiler here.*\)")
    with expected, compile_failures_explained():
        torch.compile(lambda x: x + 1, backend=backend)(torch.ones(3))


def test_of_a_long_story_the_compilers_own_complaint_is_told() -> None:
    story = (
        "C++ compile error\n\nOutput:\n/x/y.h:3:10: fatal error: Python.h: No such file\ncompilation ended."
    )
    backend = failing_backend(story)
    expected = pytest.raises(UserError, match=r"\(/x/y.h:3:10: fatal error: Python.h: No such file\)")
    with expected, compile_failures_explained():
        torch.compile(lambda x: x + 1, backend=backend)(torch.ones(3))


@pytest.mark.parametrize("message", ["CUDA out of memory", "an illegal memory access was encountered"])
def test_what_the_compiler_only_hands_on_passes(message: str) -> None:
    backend = failing_backend(message)
    with pytest.raises(RuntimeError, match=message), compile_failures_explained():
        torch.compile(lambda x: x + 1, backend=backend)(torch.ones(3))


def test_other_failures_pass() -> None:
    with pytest.raises(ZeroDivisionError), compile_failures_explained():
        1 / 0  # noqa: B018


def test_what_is_compiled_lies_where_no_other_user_can_write(tmp_path: Path) -> None:
    """In a process of its own: the compiler sets the variable when it is imported first."""
    code = (
        "import os; from backend.diffusion.fast.networks import _keep_to_ourselves as keep;"
        " keep(); print(os.environ['TORCHINDUCTOR_CACHE_DIR'])"
    )
    own = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    variables = {**own, **homes, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    folder = Path(found.stdout.strip())
    assert folder.is_relative_to(tmp_path)
    assert os.name == "nt" or folder.stat().st_mode & 0o077 == 0
