# SPDX-License-Identifier: GPL-3.0-or-later
"""Our CLIP tokenizer against OpenCLIP's own: stored answers, and the package itself where it is installed.

    PYTHONPATH=<where open_clip is> python tests/backend/diffusion/test_clip_tokenizer.py

writes the answers anew. Each row: a text, and the ids of `open_clip.tokenize` up to the last end token.
"""

import importlib.util
import json
import logging
from pathlib import Path

import pytest

from backend.diffusion.clip_tokenizer import CLIP_PAD, VOCABULARY_SIZE, ClipTokenizer
from backend.errors import UserError

ANSWERS = Path(__file__).resolve().parents[2] / "data" / "clip_tokens.json"
ROWS = json.loads(ANSWERS.read_text(encoding="utf-8"))


def open_clip_rows(texts: list[str]) -> list[list[int]] | None:
    """The package's own answers, None without the package. Its tokenizer alone needs no torchvision."""
    package = importlib.util.find_spec("open_clip")
    if package is None:
        return None
    path = Path(package.submodule_search_locations[0], "tokenizer.py")
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = module.tokenize(texts).tolist()
    return [row[: 77 - row[::-1].index(49407)] for row in rows]


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer.standard()


def padded(row: list[int], pad: int = 0) -> list[int]:
    return row + [pad] * (77 - len(row))


def test_every_stored_answer(tokenizer) -> None:
    assert len(ROWS) > 300
    wrong = [text for text, row in ROWS if tokenizer.encode(text, allow_empty=True) != padded(row)]
    assert wrong == []


def test_the_package_itself_agrees(tokenizer) -> None:
    rows = open_clip_rows([text for text, _ in ROWS])
    if rows is None:
        pytest.skip("open_clip_torch is not installed")
    assert rows == [row for _, row in ROWS]


def test_clip_pads_with_the_end_token() -> None:
    tokenizer = ClipTokenizer.standard(CLIP_PAD)
    text, row = next((text, row) for text, row in ROWS if len(row) == 6)
    assert tokenizer.encode(text) == padded(row, 49407)
    # special tokens are spelt differently there
    assert tokenizer.tokens("a <|endoftext|> b") == [320, 49407, 321]
    assert 49407 not in tokenizer.tokens("a <end_of_text> b")


def test_a_long_prompt_is_cut_with_a_warning(tokenizer, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert tokenizer.encode("cat " * 75) == [49406, *[2368] * 75, 49407]
        assert not caplog.records
        assert tokenizer.encode("cat " * 100) == [49406, *[2368] * 75, 49407]
    assert "100 tokens long, and the model reads 75" in caplog.text


def test_an_empty_prompt(tokenizer) -> None:
    assert tokenizer.encode("  ", allow_empty=True) == padded([49406, 49407])
    with pytest.raises(UserError, match="empty"):
        tokenizer.encode(" \n")


@pytest.mark.parametrize("pad", ["!", CLIP_PAD])
def test_files_are_read_by_us_and_by_transformers(pad, tmp_path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = ClipTokenizer.standard(pad)
    assert len(tokenizer) == VOCABULARY_SIZE
    for name, text in tokenizer.files().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert ClipTokenizer.is_in(tmp_path)
    stock = CLIPTokenizer.from_pretrained(tmp_path)
    stock.save_pretrained(tmp_path / "again")  # newer releases write tokenizer.json alone
    texts = ["a red mug, 3d asset", "it's 12 o'clock?", "ÄÖÜ été 日本語 😀"]
    for folder in (tmp_path, tmp_path / "again"):
        again = ClipTokenizer.load(folder)
        assert (again.pad, again.length, again.vocabulary) == (pad, 77, tokenizer.vocabulary)
        assert [again.encode(text) for text in texts] == [tokenizer.encode(text) for text in texts]
    assert stock(texts, padding="max_length").input_ids == [tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("vocab.json", "{", r"vocab\.json is broken"),
        ("vocab.json", "[]", r"vocab\.json is broken"),
        ("vocab.json", '{"a": "b"}', r"vocab\.json is broken: a token has no number"),
        ("vocab.json", '{"a": 1}', r"vocab\.json is broken: the vocabulary lacks"),
        ("vocab.json", None, r"vocab\.json is missing"),
        ("merges.txt", "a b c\n", r"merges\.txt is broken"),
        ("tokenizer_config.json", "{", r"tokenizer_config\.json is broken"),
    ],
)
def test_a_broken_file_is_named(tokenizer, tmp_path, file, text, message) -> None:
    for name, content in tokenizer.files().items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match=message):
        ClipTokenizer.load(tmp_path)


if __name__ == "__main__":
    found = open_clip_rows([text for text, _ in ROWS])
    assert found is not None, "open_clip is not on the path"
    lines = [json.dumps([text, row]) for (text, _), row in zip(ROWS, found, strict=True)]
    ANSWERS.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
