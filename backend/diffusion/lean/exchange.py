# SPDX-License-Identifier: GPL-3.0-or-later
"""Stock networks that are in memory already, exchanged for lean ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from backend.diffusion.lean.autoencoder import Autoencoder
from backend.diffusion.lean.settings import unet_settings, vae_settings
from backend.diffusion.lean.unet import UNet


def lean_unet(stock: Any) -> Any:
    """A UNet with the weights of diffusers' one, not copied; `stock` itself where its settings are others.

    A lean one is returned as it is.
    """
    if isinstance(stock, UNet) or (settings := unet_settings(_own(stock.config))) is None:
        return stock
    with torch.device("meta"):
        return _with_weights(UNet(settings), stock)


def lean_vae(stock: Any) -> Any:
    """The same of an autoencoder, which may be without its decoder."""
    if isinstance(stock, Autoencoder) or (settings := vae_settings(_own(stock.config))) is None:
        return stock
    with torch.device("meta"):
        lean = Autoencoder(settings)
    if stock.decoder is None:
        lean.decoder = lean.post_quant_conv = None
    return _with_weights(lean, stock)


def _own(config: Any) -> dict[str, Any]:
    """What a config.json would say."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}


def _with_weights(lean: nn.Module, stock: nn.Module) -> nn.Module:
    lean.load_state_dict(stock.state_dict(), strict=True, assign=True)
    return lean.train(stock.training).requires_grad_(next(stock.parameters()).requires_grad)
