from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from polygraft.architectures.text import load_encoder
from polygraft.tasks.tagging.windows import states_of_words, windows_of

WORDS = [
    "Nairobi",
    "na",
    "supercalifragilistic",
    "x" * 150,
    "Ọlọ́run",
    "\x07",
    "qzqzqzqz" * 9,
    "1,5",
]


@pytest.mark.parametrize("longest", [16, 32, 128])
def test_every_word_is_read_once_from_the_window_where_it_stands_best(
    longest: int, root: Path
) -> None:
    encoder, rng = load_encoder(root / "platform" / "backbones" / "mini"), np.random.default_rng(0)
    several = 0
    for _ in range(60):
        words = [WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(0, 150))]
        (encoded,) = encoder.encode_words([words])
        windows = windows_of(encoder, encoded, longest)
        several += len(windows) > 1
        assert all(len(window.encoded) <= longest for window in windows)
        taken = [word for window in windows for word in window.words.tolist()]
        assert sorted(taken) == sorted(set(encoded.words))
        for window in windows:
            for word, token in zip(window.words, window.tokens, strict=True):
                first = encoded.words.index(word)
                assert window.encoded.ids[token] == encoded.ids[first]
                assert window.encoded.cases[token] == encoded.cases[first]
    assert several > 20


def test_neighbours_overlap_by_about_a_quarter_and_edges_are_left_to_them(root: Path) -> None:
    encoder = load_encoder(root / "platform" / "backbones" / "mini")
    words = ["na"] * 300
    (encoded,) = encoder.encode_words([words])
    windows = windows_of(encoder, encoded, 34)  # 32 of its own
    (first, last), inner = (windows[0], windows[-1]), windows[1:-1]
    assert len(first.encoded) == 34
    assert all(len(window.encoded) == 34 for window in inner)
    assert first.words[0] == 0
    assert last.words[-1] == 299
    for window in inner:  # 4 on each side are read from the neighbour
        assert 1 + 3 <= window.tokens[0] <= 1 + 5
        assert 32 - 5 <= window.tokens[-1] <= 32 - 3


def test_words_have_the_tokens_and_cases_of_the_whole_text(root: Path) -> None:
    encoder = load_encoder(root / "platform" / "backbones" / "mini")
    words = ["Samia", "alisema", "NCCK", "ọ̀rọ̀", "3", "."]
    (encoded,), (whole,) = encoder.encode_words([words]), encoder.encode([" ".join(words)])
    assert encoder.enclosed(encoded.ids, encoded.cases) == whole


def test_a_word_without_a_token_has_no_state(root: Path) -> None:
    encoder = load_encoder(root / "platform" / "backbones" / "mini")
    (encoded,) = encoder.encode_words([["a", "\x07", "b"]])
    windows = windows_of(encoder, encoded, 16)
    states = states_of_words(windows, [np.ones((len(windows[0].encoded), 4), np.float32)], 3)
    assert states.sum(axis=1).tolist() == [4, 0, 4]
    assert windows_of(encoder, encoder.encode_words([["\x07"]])[0], 16) == []
