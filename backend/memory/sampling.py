# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that sampling views needs, part by part. Pure arithmetic, with the constants of estimation.py."""

from __future__ import annotations

from backend.memory.estimation import GPU_LIBRARY_BYTES, PROCESS_BYTES, Need, unet_copies
from backend.memory.facts import ModelFacts


def estimate_sampling(
    facts: ModelFacts, views: int, decoded_at_once: int, itemsize: int, device_type: str
) -> Need:
    """What it takes at its peak, however many sets: they are made one after the other.

    views: of a set; decoded_at_once: how many of them are in the decoder together; itemsize: bytes of a
    number in the networks (2 or 4); device_type: "cpu", "cuda" or "mps".
    """
    numbers = facts.parameters
    unets = unet_copies(device_type, itemsize) * numbers["unet"]
    weights = itemsize * (unets + numbers["vae_encoder"] + numbers["vae_decoder"])
    # Never two of these at once: the text encoder is gone before the first step, the pictures come after the
    # last. Classifier-free guidance asks with and without the prompt in one batch.
    moments = {
        "text encoder": itemsize * numbers["text"],
        "network": round(2 * views * facts.latent_size**2 * facts.unet_elements * itemsize),
        "image decoder": round(decoded_at_once * facts.image_size**2 * facts.decoder_elements * itemsize),
    }
    largest = max(moments, key=lambda name: moments[name])
    working = {"weights": weights, largest: moments[largest]}
    process = PROCESS_BYTES.get(device_type, PROCESS_BYTES["cuda"])
    if device_type == "cpu":
        return Need({}, {"libraries": process, **working})
    return Need({"libraries": GPU_LIBRARY_BYTES, **working}, {"libraries": process})
