"""Text as hashed features: what is read of a text, and that it never changes unnoticed."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from polygraft.data.splits import Split
from polygraft.tasks.classification.features import (
    BUCKETS,
    HASH,
    WORD,
    Occurrences,
    features,
    gram_spans,
)
from polygraft.tasks.classification.lexical_training import _matrix, fit_lexical
from polygraft.tasks.serving import MAX_CHARACTERS

SCRIPTS = (
    "abcxyz ABC",  # Latin
    "ẹṣọ́ ńlá",  # Yoruba, combining marks
    "ʻōlelo",
    "نمونو پيغام",  # Sindhi
    "संदेश क्षेत्र",  # Devanagari
    "消息免费",
    "ข้อความ",
    "сообщение",
    "😀👩‍👩‍👧🇳🇬",
    "\x00\u200d\ufeff\u0301",
    "ﬁﬃ①ⅷ Å",
    "0123456789 .,:/?!",
)


def strings(count: int) -> list[str]:
    """Pieces of every script, mixed."""
    rng = np.random.default_rng(0)
    alphabet = list("".join(SCRIPTS) + "    ")
    return ["".join(rng.choice(alphabet, rng.integers(1, 60))) for _ in range(count)]


def test_training_and_serving_read_the_same_features() -> None:
    """10,000 strings: the rows that the SVM is given, and what the adapter makes of the text."""
    texts = strings(10_000)
    labels = ["a" if i % 3 else "b" for i in range(len(texts))]
    fitted = fit_lexical(Split(texts, labels, []), ["a", "b"], [])
    assert fitted
    part = fitted.part
    read = [features(text) for text in texts]
    rows = _matrix(part.vocabulary, read) @ part.weight.astype(np.float32)
    served = np.stack([part.logits(text) for text in texts])
    known = np.abs(served).max(axis=1) > 0
    assert known.mean() > 0.99
    np.testing.assert_allclose(served[known], (rows + part.bias)[known], atol=1e-4)


KNOWN = (65, 74, 95593016)  # features, how often they occur, their sum


def test_the_numbers_of_features_are_those_of_this_hash() -> None:
    """They stand in adapters on disk: when this fails, `HASH` needs another name."""
    assert HASH == "mmh3-20-words12-chars25-nfkc"
    numbers, counts = features("Win a FREE phone, win!")
    assert (len(numbers), counts.sum(), int(numbers.sum())) == KNOWN
    assert int((numbers < BUCKETS).sum()) == 8, "four words, one of them twice, and four pairs"


def test_small_letters_and_compatible_forms_are_one() -> None:
    for one, other in (("ＷＩＮ", "win"), ("ﬁne", "fine"), ("Ẹ", "ẹ"), ("e\u0301", "é")):
        np.testing.assert_array_equal(features(one)[0], features(other)[0])


def test_marks_belong_to_their_word() -> None:
    for word in ("संदेश", "نُمونو", "ẹ́sọ́"):
        assert WORD.findall(unicodedata.normalize("NFKC", word)) == [
            unicodedata.normalize("NFKC", word)
        ]


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000"])
def test_a_text_of_nothing_has_none(text: str) -> None:
    assert len(features(text)[0]) == 0


def test_every_gram_lies_where_it_is_said_to() -> None:
    padded = " abc "
    assert [padded[a:b] for a, b in gram_spans("abc")] == [
        *(" a", "ab", "bc", "c "),
        *(" ab", "abc", "bc "),
        *(" abc", "abc "),
        " abc ",
    ]
    assert len(Occurrences("abc").grams) == 10


def test_a_lone_surrogate_is_read() -> None:
    assert len(features("a\ud800b")[0])


def test_the_longest_text_costs_what_its_features_cost() -> None:
    """Not its square: a text ten times as long has ten times the features, no more."""
    sizes = []
    for length in (MAX_CHARACTERS // 10, MAX_CHARACTERS):
        found = Occurrences("".join(chr(97 + i * i % 26) for i in range(length)))
        sizes.append(len(found.grams))
    assert sizes[1] < 10.1 * sizes[0]
    assert sizes[1] < 4.1 * MAX_CHARACTERS
