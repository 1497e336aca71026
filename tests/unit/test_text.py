import unicodedata
from pathlib import Path

import pytest

from polygraft.architectures.text import LOWER, TITLE, UPPER, Encoded, case_of, load_encoder, pad


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


def test_pad_masks_what_it_adds() -> None:
    batch = pad([Encoded([5, 6, 7], [0, 1, 0]), Encoded([8], [2])], pad_id=9)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 0], [2, 0, 0]]
