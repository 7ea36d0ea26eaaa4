# SPDX-License-Identifier: GPL-3.0-or-later
import json

import pytest

from backend.diffusion.tokenizer import WordTokenizer
from backend.errors import UserError

WORDS = ["a", "red", "mug", "on", "gray", "t-shirt"]


@pytest.fixture
def tokenizer() -> WordTokenizer:
    return WordTokenizer(WORDS, length=6, aliases={"grey": "gray", "the": ""})


def test_ids_by_hand(tokenizer) -> None:
    # [start] a red mug [end] [pad]
    assert tokenizer.encode("a red mug") == [1, 3, 4, 5, 2, 0]
    assert tokenizer.encode("", allow_empty=True) == [1, 2, 0, 0, 0, 0]
    assert len(tokenizer) == 9


def test_case_punctuation_hyphens_and_aliases(tokenizer) -> None:
    assert tokenizer.encode("  A Red, MUG!") == tokenizer.encode("a red mug")
    assert tokenizer.encode("the grey t-shirt") == tokenizer.encode("gray T-Shirt")


def test_unknown_words_are_named_once_with_the_known_ones(tokenizer) -> None:
    with pytest.raises(UserError) as caught:
        tokenizer.encode("a teapot on a teapot, кот")
    message = str(caught.value)
    assert "'teapot', 'кот'" in message
    assert "a, gray, mug, on, red, t-shirt" in message


def test_words_that_an_unknown_one_resembles_come_first(tokenizer) -> None:
    with pytest.raises(UserError, match=r"know 'mugg', 'grau'\. Did you mean 'mug' or 'gray'\? The words it"):
        tokenizer.encode("a mugg grau")
    with pytest.raises(UserError, match=r"know 'dragon'\. The words it knows"):
        tokenizer.encode("a dragon")


@pytest.mark.parametrize("prompt", ["", "   ", "?!", "the"])
def test_a_prompt_without_words_is_empty(tokenizer, prompt) -> None:
    with pytest.raises(UserError, match="empty"):
        tokenizer.encode(prompt)


def test_too_many_words(tokenizer) -> None:
    tokenizer.encode("a mug on red")
    with pytest.raises(UserError, match="5 words; this model reads at most 4"):
        tokenizer.encode("a mug on a mug")


@pytest.mark.parametrize(
    ("words", "aliases"), [(["a", "a"], {}), (["Red"], {}), (["two words"], {}), (["a"], {"an": "b"})]
)
def test_an_impossible_vocabulary_is_refused(words, aliases) -> None:
    with pytest.raises(ValueError):
        WordTokenizer(words, 8, aliases)


def test_file_round_trip(tokenizer, tmp_path) -> None:
    (tmp_path / "vocab.json").write_text(tokenizer.to_json(), encoding="utf-8")
    again = WordTokenizer.load(tmp_path)
    assert again.words == WORDS
    assert again.encode("the grey mug") == tokenizer.encode("the grey mug")


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"words": ["a"], "length": "6"})])
def test_a_broken_file_is_named(tmp_path, text) -> None:
    (tmp_path / "vocab.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"vocab\.json is broken"):
        WordTokenizer.load(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(UserError, match=r"vocab\.json is missing"):
        WordTokenizer.load(tmp_path)
