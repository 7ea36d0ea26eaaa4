# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole frozen network made fast, in one of two ways: by our fused modules, or by PyTorch's compiler."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from backend.cache_folder import cache_folder
from backend.diffusion.fast.fusing import fuse
from backend.diffusion.lean.exchange import lean_unet, lean_vae

log = logging.getLogger(__name__)

_LEAN = {"unet": lean_unet, "vae": lean_vae}


def fused(name: str, network: Any) -> Any:
    """The network of that name ("unet", "vae", "tiny_vae") with fused channels-last modules."""
    prepared = _prepared(name, network)
    if not fuse(prepared) and name in _LEAN:
        log.info("A %s has settings that nothing is fused for.", type(prepared).__name__)
    return prepared


def compiled(name: str, network: Any) -> Any:
    """The UNet, or an autoencoder's encoder, for torch.compile to work on at the first call of each shape.

    What it makes is kept in the user's cache folder, unless TORCHINDUCTOR_CACHE_DIR names another.
    """
    _keep_to_ourselves()
    prepared = _prepared(name, network)
    # Only what is called as a module is compiled in place, and an autoencoder's `encode` is a method.
    (prepared if name == "unet" else prepared.encoder).compile(dynamic=False)
    return prepared


def _keep_to_ourselves() -> None:
    """By itself the compiler keeps machine code in a folder in /tmp that any user could have made before."""
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        folder = cache_folder() / "compiled"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            folder = Path(tempfile.mkdtemp(prefix="mvdream-compiled-"))
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    # Not before: it sets the variable itself. Nor for networks that are only fused: it is the whole compiler.
    import torch._inductor.config as inductor

    # These go to /tmp whatever the variable says.
    inductor.cpp_cache_precompile_headers = False


def _prepared(name: str, network: Any) -> Any:
    """Channels-last, and lean where there is such an equal."""
    if name in _LEAN:
        network = _LEAN[name](network)
    return nn.Module.to(network, memory_format=torch.channels_last)  # type: ignore[call-overload]
