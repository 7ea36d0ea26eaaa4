# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads from a Hugging Face hub, for people whose connection is slow, breaks, or has a proxy in it.

`backend.hub.download.download` is the door. Addresses, login, offline mode and mirror are those of the
package `huggingface_hub`; the bytes are read here, because its own download starts anew after a failure.
Nothing here imports torch, and `huggingface_hub` only when a download begins.
"""
