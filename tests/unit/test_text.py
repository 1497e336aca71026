import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from polygraft.architectures.text import (
    LOWER,
    TITLE,
    UPPER,
    Encoded,
    TextEncoder,
    case_of,
    load_encoder,
    pad,
)


@pytest.mark.parametrize(
    ("word", "case"),
    [
        ("free", LOWER),
        ("Free", TITLE),
        ("FREE", UPPER),
        ("I", TITLE),
        ("123", LOWER),
        ("Ọjọ́", TITLE),
    ],
)
def test_case_of(word: str, case: int) -> None:
    assert case_of(word) == case


def test_case_ids_cover_every_piece_of_a_word(backbone: Path) -> None:
    encoder = load_encoder(backbone)
    encoded = encoder.encode(["FREE zebra Zebra"])[0]
    tokens = [encoder.tokenizer.id_to_token(i) for i in encoded.ids]
    assert tokens == [
        "[CLS]",
        "free",
        *["z", "##e", "##b", "##r", "##a"],
        *["z", "##e", "##b", "##r", "##a"],
        "[SEP]",
    ]
    assert encoded.cases == [0, UPPER, *[LOWER] * 5, *[TITLE] * 5, 0]


def test_composed_and_decomposed_text_are_the_same_and_tones_are_kept(backbone: Path) -> None:
    encoder = load_encoder(backbone)
    composed, decomposed = (unicodedata.normalize(form, "ọjọ́ dára") for form in ("NFC", "NFD"))
    assert encoder.encode([composed]) == encoder.encode([decomposed])
    assert "[UNK]" not in [
        encoder.tokenizer.id_to_token(i) for i in encoder.encode([composed])[0].ids
    ]


def test_truncation_keeps_the_closing_token_and_says_so(backbone: Path) -> None:
    encoder = load_encoder(backbone, max_length=8)
    short, long = encoder.encode(["hello mum", "free " * 50])
    assert not short.truncated
    assert long.truncated
    assert len(long) == 8
    assert long.ids[-1] == encoder.tokenizer.token_to_id("[SEP]")


def test_windows_read_every_token_once_and_are_of_about_one_length(backbone: Path) -> None:
    encoder = load_encoder(backbone, window=8)
    short, long = encoder.encode(["see you soon", "see you soon mum call " * 4])
    assert encoder.windows(short) == [short]
    windows = encoder.windows(long)  # 20 tokens of text, at most 6 a window
    assert [len(window) for window in windows] == [7, 7, 7, 7]
    assert {(window.ids[0], window.ids[-1]) for window in windows} == {(long.ids[0], long.ids[-1])}
    assert [i for window in windows for i in window.ids[1:-1]] == long.ids[1:-1]
    assert [c for window in windows for c in window.cases[1:-1]] == long.cases[1:-1]
    assert encoder.windows(long, 22) == [long]
    assert load_encoder(backbone).windows(long) == [long]


def test_windows_without_an_opening_token(backbone: Path, tmp_path: Path) -> None:
    """T5 closes a text, and opens it with nothing."""
    tokenizer = Tokenizer.from_file(str(backbone / "tokenizer.json"))
    end = tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = TemplateProcessing(
        single="$A [SEP]", special_tokens=[("[SEP]", end)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoder = TextEncoder(tmp_path / "tokenizer.json", case_feature=False, max_length=64)
    (long,) = encoder.encode(["win a free prize call mum now " * 3])
    windows = encoder.windows(long, 6)
    assert {window.ids[-1] for window in windows} == {end}
    assert [i for window in windows for i in window.ids[:-1]] == long.ids[:-1]
    assert max(map(len, windows)) == 6
    assert encoder.encode(["win " * 100])[0].ids[-1] == end


def test_pad_masks_what_it_adds() -> None:
    batch = pad([Encoded([5, 6, 7], [0, 1, 0]), Encoded([8], [2])], pad_id=9)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 0], [2, 0, 0]]
