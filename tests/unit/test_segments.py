"""Long text: sentences found, paragraphs kept, nothing dropped."""

import pytest

from polygraft.tasks.translation.segments import join, split

TEXTS = [
    "One sentence.",
    "Dr. Smith came. He left!  Did he?\n\n\tNext paragraph, indented.\n- a list item\n",
    "\n\n  leading lines\r\nand another\r\n",
    "🙂🙂 42 --- ...",
    "Ọjọ́ dára. Ó lọ sí ilé! هي هڪ جملو آهي۔ ٻيو جملو؟ 日本語です。",
    "word " * 300,
    "x" * 500,
    "first part, second part; third part, " * 30,
    " ",
]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_joined_give_the_text_back_and_all_of_them_fit(text: str) -> None:
    pieces = split(text, "en", lambda t: len(t) <= 80)
    assert join(pieces, [p.text for p in pieces if not p.verbatim]) == text
    assert all(len(p.text) <= 80 for p in pieces)
    assert all(not any(c.isalpha() for c in p.text) for p in pieces if p.verbatim)


def test_a_long_sentence_is_cut_at_its_marks() -> None:
    pieces = split("first part, second part; third part, " * 4, "en", lambda t: len(t) <= 45)
    assert all(p.text[-1] in ",;" for p in pieces)


def test_sentences_are_found() -> None:
    assert [p.text for p in split("Dr. Smith came. He left!\nNext.", "en", lambda _: True)] == [
        "Dr. Smith came.",
        "He left!",
        "Next.",
    ]
