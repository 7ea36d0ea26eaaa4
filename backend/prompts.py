# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a model understands what it is asked, told before anything is loaded. No torch."""

from __future__ import annotations

from backend.default_model import certain_model
from backend.diffusion.registry import resolve
from backend.diffusion.tokenizer import WordTokenizer
from backend.errors import UserError


def check_words(tokenizer: WordTokenizer | None, prompt: str, negative_prompt: str | None) -> None:
    """Raises UserError for words a word-level tokenizer does not know, and says which prompt has them.

    tokenizer: None where the model takes any text.
    """
    if tokenizer is not None:
        tokenizer.encode(prompt)
        try:
            tokenizer.encode(negative_prompt or "", allow_empty=True)
        except UserError as error:
            raise UserError(f"The negative prompt can't be used. {error}") from error


def check_words_for(model: str, prompt: str, negative_prompt: str | None) -> None:
    """The same for a model's name or folder, where it is certain without torch which model that is."""
    certain = certain_model(model)
    folder = resolve(certain) / "tokenizer" if certain else None
    if folder is not None and WordTokenizer.is_in(folder):
        check_words(WordTokenizer.load(folder), prompt, negative_prompt)
