# SPDX-License-Identifier: GPL-3.0-or-later
"""Word-level tokenizer of the small models: one token a word, a fixed length, no surprises. No torch."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from backend.errors import UserError

VOCABULARY_FILE = "vocab.json"
PAD, START, END = "[pad]", "[start]", "[end]"
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")


class Tokenizer(Protocol):
    """What a text encoder needs: WordTokenizer (this file) or ClipTokenizer."""

    length: int

    def __len__(self) -> int:
        """Size of the vocabulary."""

    def encode(self, prompt: str, allow_empty: bool = False) -> list[int]:
        """The `length` token ids of a prompt. May raise UserError."""

    def files(self) -> dict[str, str]:
        """Names and texts of the files of its folder."""


class WordTokenizer:
    """Prompts to token ids: [start] word ... [end] [pad] ...

    `words` are the words the model was trained with; ids 0, 1, 2 are [pad], [start], [end], and word i has id
    i + 3. `aliases` maps further words to known ones ("grey" -> "gray"), or to "" to skip them.
    `length` is the number of tokens, so a prompt has at most `length` - 2 words.
    """

    def __init__(self, words: Sequence[str], length: int, aliases: dict[str, str] | None = None) -> None:
        if length < 3:
            raise ValueError(f"length {length} leaves no room for a word")
        tokens = [PAD, START, END, *words]
        self.length = length
        self.aliases = dict(aliases or {})
        self._ids = {token: index for index, token in enumerate(tokens)}
        if len(self._ids) != len(tokens):
            raise ValueError("the vocabulary names a word twice")
        unusable = [word for word in words if _WORD.fullmatch(word) is None or word != word.lower()]
        dangling = [target for target in self.aliases.values() if target and target not in self._ids]
        if unusable or dangling:
            raise ValueError(f"not lower-case single words of the vocabulary: {unusable + dangling}")

    def __len__(self) -> int:
        """Size of the vocabulary, the three special tokens included: the text encoder's `vocab_size`."""
        return len(self._ids)

    @property
    def words(self) -> list[str]:
        """The words in order of their ids, without the special tokens."""
        return list(self._ids)[3:]

    @property
    def known_words(self) -> list[str]:
        """The words a prompt may use, sorted, aliases left out."""
        return sorted(self.words)

    pad_id, start_id, end_id = 0, 1, 2

    def encode(self, prompt: str, allow_empty: bool = False) -> list[int]:
        """The `length` token ids of a prompt. Case and punctuation do not matter.

        Raises UserError for unknown words (naming them, what they resemble, and all known ones), for too many
        words, and for a prompt without words unless `allow_empty`: the empty prompt is what guidance and text
        dropout use.
        """
        spoken = [word.replace("’", "'") for word in _WORD.findall(prompt.lower())]
        words = [word for word in (self.aliases.get(word, word) for word in spoken) if word]
        unknown = list(dict.fromkeys(word for word in words if word not in self._ids))
        if unknown:
            known = self.known_words
            raise UserError(
                f"The model does not know {_quoted(unknown)}.{_resembling(unknown, known)}"
                f" The words it knows: {', '.join(known)}."
            )
        if not words and not allow_empty:
            raise UserError("The prompt is empty. Write what to make, for instance: a red mug.")
        if len(words) > self.length - 2:
            raise UserError(
                f"The prompt has {len(words)} words; this model reads at most {self.length - 2}. Shorten it."
            )
        ids = [self.start_id, *(self._ids[word] for word in words), self.end_id]
        return ids + [self.pad_id] * (self.length - len(ids))

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether `folder` holds a word-level vocabulary (and not, say, CLIP's)."""
        # CLIP's vocabulary has the same file name, but never without its merges.
        return (folder / VOCABULARY_FILE).is_file() and not (folder / "merges.txt").exists()

    @classmethod
    def load(cls, folder: Path) -> WordTokenizer:
        """Read `vocab.json` of `folder`. Raises UserError naming the file when it is missing or broken."""
        path = folder / VOCABULARY_FILE
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(data["words"], data["length"], data.get("aliases"))
        except FileNotFoundError:
            raise UserError(f"The model is incomplete: {path} is missing.") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"The model file {path} is broken: it holds no vocabulary of words.") from error

    def files(self) -> dict[str, str]:
        """Names and texts of the files that `load` reads."""
        return {VOCABULARY_FILE: self.to_json()}

    def to_json(self) -> str:
        """The text of `vocab.json`."""
        data = {"length": self.length, "words": self.words, "aliases": self.aliases}
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _resembling(unknown: Sequence[str], known: Sequence[str]) -> str:
    near = dict.fromkeys(near for word in unknown for near in difflib.get_close_matches(word, known, n=2))
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
