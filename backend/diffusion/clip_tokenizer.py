# SPDX-License-Identifier: GPL-3.0-or-later
"""CLIP's byte-pair tokenizer: any text to token ids, as OpenCLIP (2.1) and CLIP (1.5) do it. No torch.

The vocabulary is in no checkpoint. It lies beside this file (1.3 MB, MIT, see clip_vocabulary/LICENSE) rather
than being taken from a package or a download: `open_clip_torch` would bring torchvision and timm along, the
hub repository of the base model has been withdrawn, and converting must work offline. It is written into each
converted model's `tokenizer/`, so a model folder stands on its own and transformers reads it too.
"""

from __future__ import annotations

import gzip
import html
import json
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from backend.errors import UserError

VOCABULARY = Path(__file__).with_name("clip_vocabulary") / "bpe_simple_vocab_16e6.txt.gz"
VOCABULARY_SIZE = 49408
START, END = "<|startoftext|>", "<|endoftext|>"
# What fills the rest of the 77 places: id 0 in OpenCLIP, whose token is "!"; the end token in CLIP.
OPEN_CLIP_PAD, CLIP_PAD = "!", END
# The end of the list of merges that CLIP uses; what comes after it in the file was never trained.
_MERGES = VOCABULARY_SIZE - 2 * 256 - 2

log = logging.getLogger(__name__)


class ClipTokenizer:
    """Prompts to `length` ids: start, tokens, end, padding. Too long a prompt is cut, with a warning in the
    log.

    vocabulary: token to id; merges: pairs of tokens, those to join first come first; pad: token after the
    end.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        merges: Sequence[tuple[str, str]],
        pad: str = OPEN_CLIP_PAD,
        length: int = 77,
    ) -> None:
        if absent := [token for token in (START, END, pad) if token not in vocabulary]:
            raise ValueError(f"the vocabulary lacks {', '.join(absent)}")
        if length < 3:
            raise ValueError(f"length {length} leaves no room for a word")
        self.vocabulary, self.merges, self.pad, self.length = vocabulary, list(merges), pad, length
        self.start_id, self.end_id, self.pad_id = vocabulary[START], vocabulary[END], vocabulary[pad]
        # Someone who types a special token gets it, in either package's spelling.
        names = (START, END) if pad == CLIP_PAD else ("<start_of_text>", "<end_of_text>")
        self._special = dict(zip(names, (self.start_id, self.end_id), strict=True))

    @classmethod
    def standard(cls, pad: str = OPEN_CLIP_PAD, length: int = 77) -> ClipTokenizer:
        """The tokenizer of both published models, from the vocabulary that ships with this project."""
        lines = gzip.decompress(VOCABULARY.read_bytes()).decode("utf-8").split("\n")
        merges = [_pair(line) for line in lines[1 : 1 + _MERGES]]
        letters = list(_byte_letters().values())
        tokens = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges), START, END]
        return cls({token: index for index, token in enumerate(tokens)}, merges, pad, length)

    def __len__(self) -> int:
        """Size of the vocabulary: what the text encoder's `vocab_size` must be at least."""
        return max(self.vocabulary.values()) + 1

    def encode(self, prompt: str, allow_empty: bool = False) -> list[int]:
        """The `length` token ids of a prompt.

        Raises UserError for a prompt without any text unless `allow_empty`: the empty one is guidance's.
        """
        ids = self.tokens(prompt)
        if not ids and not allow_empty:
            raise UserError("The prompt is empty. Write what to make, for instance: a red mug.")
        room = self.length - 2
        if len(ids) > room:
            log.warning(
                "The prompt is %d tokens long, and the model reads %d: its end is left out.", len(ids), room
            )
        ids = [self.start_id, *ids[:room], self.end_id]
        return ids + [self.pad_id] * (self.length - len(ids))

    def tokens(self, text: str) -> list[int]:
        """Ids of the text alone, however many."""
        ids: list[int] = []
        for piece in self._pattern.findall(clean(text)):
            special = self._special.get(piece)
            found = self._pairs.encode([piece], is_pretokenized=True).ids if special is None else [special]
            ids.extend(found)
        return ids

    @cached_property
    def _pattern(self) -> Any:
        import regex  # has \p{L}; it comes with transformers

        # Special tokens, English contractions, words, single digits, runs of everything else.
        rest = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
        special = "|".join(map(regex.escape, self._special))
        return regex.compile(f"{special}|{rest}", regex.IGNORECASE)

    @cached_property
    def _pairs(self) -> Any:
        from tokenizers import Tokenizer
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import ByteLevel

        # No unknown token is needed: each of the 256 bytes is in the vocabulary.
        pairs = Tokenizer(BPE(vocab=self.vocabulary, merges=self.merges, end_of_word_suffix="</w>"))
        pairs.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
        return pairs

    def files(self) -> dict[str, str]:
        """File names and texts of a `tokenizer/` folder that `load` and transformers read."""
        config = {
            "tokenizer_class": "CLIPTokenizer", "model_max_length": self.length, "do_lower_case": True,
            "bos_token": START, "eos_token": END, "unk_token": END, "pad_token": self.pad,
        }  # fmt: skip
        merges = "\n".join(f"{first} {second}" for first, second in self.merges)
        return {
            "vocab.json": json.dumps(self.vocabulary, ensure_ascii=False),
            "merges.txt": f"#version: 0.2\n{merges}\n",
            "tokenizer_config.json": json.dumps(config, indent=1) + "\n",
        }

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether `folder` holds a byte-pair vocabulary."""
        return any((folder / name).exists() for name in ("merges.txt", "tokenizer.json"))

    @classmethod
    def load(cls, folder: Path) -> ClipTokenizer:
        """Read vocab.json and merges.txt, or tokenizer.json. Raises UserError naming a broken file."""
        path = folder
        try:
            options: dict[str, Any] = {}
            for name in ("special_tokens_map.json", "tokenizer_config.json"):
                path = folder / name
                options.update(_read_json(path) if path.exists() else {})
            pad = options.get("pad_token") or END
            pad = pad["content"] if isinstance(pad, dict) else pad
            length = min(int(options.get("model_max_length", 77)), 77)
            path = folder / "merges.txt"
            if path.exists():
                lines = path.read_text(encoding="utf-8").splitlines()
                merges = [_pair(line) for line in lines if line.strip() and not line.startswith("#version")]
                path = folder / "vocab.json"
                return cls(_vocabulary(_read_json(path)), merges, pad, length)
            path = folder / "tokenizer.json"
            data = _read_json(path)
            model, added = data["model"], {item["content"]: item["id"] for item in data["added_tokens"]}
            merges = [_pair(merge) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
            return cls(_vocabulary({**model["vocab"], **added}), merges, pad, length)
        except FileNotFoundError:
            raise UserError(f"The model is incomplete: {path} is missing.") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"The model file {path} is broken: {error}.") from error


def clean(text: str) -> str:
    """OpenCLIP's cleaning: broken encodings and quotes mended, HTML entities, white space, lower case.

    CLIP's own does not look for entities twice; that shows only in prompts that hold both "<" and an entity.
    """
    import ftfy  # no substitute for its repair of mis-decoded text, which the models were trained behind

    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def _byte_letters() -> dict[int, str]:
    """A printable letter for each byte, in the vocabulary's order: printable bytes first, as themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }


def _pair(line: str) -> tuple[str, str]:
    first, second = line.split()
    return first, second


def _read_json(path: Path) -> dict[str, Any]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError("it holds no object")
    return data


def _vocabulary(data: dict[str, Any]) -> dict[str, int]:
    if not all(isinstance(number, int) for number in data.values()):
        raise ValueError("a token has no number")
    return data
