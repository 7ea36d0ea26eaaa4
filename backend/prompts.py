# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a model understands what it is asked, told before anything is loaded. No torch."""

from __future__ import annotations

from backend.diffusion.tokenizer import WordTokenizer


def check_words(tokenizer: WordTokenizer | None, prompt: str, negative_prompt: str | None) -> None:
    """Raises UserError for words a word-level tokenizer does not know; None: the model takes any text."""
    if tokenizer is not None:
        tokenizer.encode(prompt)
        tokenizer.encode(negative_prompt or "", allow_empty=True)
