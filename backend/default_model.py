# SPDX-License-Identifier: GPL-3.0-or-later
"""Which model "auto" stands for. No torch: the service asks too."""

from __future__ import annotations

import logging

from backend.diffusion import registry

AUTO, PUBLISHED, SMALL = "auto", "mvdream-sd21", "small"

log = logging.getLogger(__name__)


def pick_model(name: str, device_type: str) -> str:
    """The model to load for the setting `model`: as named, or for "auto" the best that suits the device.

    device_type: "cpu", "cuda" or "mps". The published model wants a GPU and has to be installed.
    """
    if name != AUTO:
        return name
    if device_type == "cpu":
        return SMALL
    if PUBLISHED in registry.folders():
        return PUBLISHED
    log.info(
        "The published model is not installed, so the small one is used. Get it with"
        " `python -m backend models download %s`.",
        PUBLISHED,
    )
    return SMALL


def certain_model(name: str) -> str | None:
    """The same before the device is known: None where it depends on that."""
    if name != AUTO:
        return name
    return None if PUBLISHED in registry.folders() else SMALL
