"""Explanations: exact for the lexical part, leave-one-out for the neural one, in the characters of
the text as it was sent."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from polygraft.architectures.text import load_encoder
from polygraft.data.splits import Split
from polygraft.runtime.admission import MAX_VARIANT, units
from polygraft.runtime.rows import MAX_VARIANTS, Row
from polygraft.tasks.classification.attribution import Placed
from polygraft.tasks.classification.explain import MARGIN, Explainer, Explanation
from polygraft.tasks.classification.features import Occurrences, gram_spans
from polygraft.tasks.classification.lexical import KnownFeatures, Lexical
from polygraft.tasks.classification.lexical_training import fit_lexical
from polygraft.tasks.classification.parts import NEURAL_ALONE, Join
from polygraft.tasks.classification.spans import MAX_SPANS, spans_of, without
from polygraft.tasks.classification.strongest import SPACE, strongest
from polygraft.tasks.serving import MAX_CHARACTERS, Floats

SCRIPTS = (
    *("abcxyz ABC", "ẹṣọ́ ńlá", "e\u0323\u0301", "ʻōlelo", "نمونو پيغام", "می\u200cخواهم"),
    *("संदेश क्षेत्र", "消息，免费…", "ข้อความ น้ำ", "ຂໍ້ຄວາມ", "សារ", "မြန်မာ", "сообщение", "ΟΔΟΣ"),
    *("😀👩‍👩‍👧🇳🇬❤️1️⃣", "\x00\u200d\ufeff\u0301", "ﬁﬃ①ⅷ Å ﷺ ŉ İ ¨", "한글 \u1112\u1161\u11ab"),
    "0123456789 .,:/?!",
)
TRICKY = (
    "ﬁnd a free ﬃ prize",
    "\u0301a mark first",
    "\x00",
    "¨ ﷺ",
    "İİİ free",
    "free free free FREE ＦＲＥＥ",
    "",
    "  ",
)
LABELS = ["a", "b", "c"]


def strings(count: int) -> list[str]:
    """Pieces of every script, mixed."""
    rng = np.random.default_rng(0)
    alphabet = list("".join(SCRIPTS) + "    ")
    return ["".join(rng.choice(alphabet, rng.integers(1, 60))) for _ in range(count)] + [
        *SCRIPTS,
        *TRICKY,
    ]


def fitted(texts: list[str]) -> Lexical:
    part = fit_lexical(Split(texts, [LABELS[i % 3] for i in range(len(texts))], []), LABELS, [])
    assert part
    return part.part


encoder_of = lru_cache(load_encoder)


def explained(
    text: str,
    home: Path,
    neural: Floats | None = None,
    lexical: Lexical | None = None,
    join: Join = NEURAL_ALONE,
    place: int = 1,
) -> tuple[Explainer, Explanation]:
    """`neural`: logits of the text and its variants; left out, the first three are as random as
    the text."""
    explainer = Explainer(text, lexical, join, encoder_of(home))
    if neural is None:
        shape = (1 + len(explainer.variants), len(LABELS))
        neural = np.random.default_rng(len(text)).normal(size=shape).astype(np.float32)
    return explainer, explainer.explain(
        place, LABELS[place], neural, lexical.logits(text) if lexical else None
    )


def lexical_sum(explanation: Explanation) -> float:
    pushes = [*(span.push for span in explanation.spans), explanation.bias]
    return sum(push.lexical or 0.0 for push in pushes)


def test_lexical_pushes_are_the_logit_whatever_the_script(backbone: Path) -> None:
    texts = strings(1_500)
    part, join = fitted(texts), Join(neural=0, lexical=2.5)
    spoken = 0
    for text in texts:
        logits = part.logits(text)
        spoken += bool(logits.any())
        for place in range(3):
            _, explanation = explained(text, backbone, lexical=part, join=join, place=place)
            assert lexical_sum(explanation) == pytest.approx(
                2.5 * float(logits[place]), abs=1e-5
            ), repr(text)
    assert spoken > 1_400


def knows(number: int) -> Lexical:
    """A part that knows one feature, which pushes 1 in all: its value has unit length."""
    return Lexical(
        KnownFeatures(np.array([number], np.int32), np.ones(1, np.float16)),
        np.ones((1, 1), np.float16),
        np.zeros(1, np.float16),
    )


def word(text: str) -> int:
    (number,) = Occurrences(text).words
    return int(number)


def pair(text: str) -> int:
    (number,) = Occurrences(text).pairs
    return int(number)


def gram(piece: str, chunk: str) -> int:
    pieces = [f" {chunk} "[start:end] for start, end in gram_spans(chunk)]
    return int(Occurrences(chunk).grams[pieces.index(piece)])


@pytest.mark.parametrize(
    ("number", "text", "shares"),
    [
        (word("free"), "Free x", [1 / 4] * 4 + [0] * 2),
        (word("free"), "free, FREE!", [1 / 8] * 4 + [0] * 2 + [1 / 8] * 4 + [0]),
        (word("free"), "a\u3000ＦＲＥＥ", [0, 0, 1 / 4, 1 / 4, 1 / 4, 1 / 4]),
        (pair("win cash"), "WIN.. cash", [1 / 6] * 3 + [0] * 3 + [1 / 8] * 4),
        (pair("a a"), "a b a a a", [0, 0, 0, 0, 1 / 4, 0, 1 / 2, 0, 1 / 4]),
        (gram("ee ", "free"), "tree x", [0, 0, 1 / 2, 1 / 2, 0, 0]),
        (gram(" t", "tree"), "tree, t", [1 / 2, 0, 0, 0, 0, 0, 1 / 2]),
        (gram("ix", "fix"), "ﬁx", [1 / 2, 1 / 2]),  # a ligature is read as two characters
        (gram("é,", "é,"), "e\u0301,", [1 / 4, 1 / 4, 1 / 2]),  # two are read as one
        (word("ẹ"), "x e\u0323", [0, 0, 1 / 2, 1 / 2]),
        (gram("..", ".."), "…x", [1, 0]),  # twice within what one is read as
        (word("한"), "\u1112\u1161\u11ab", [1 / 3] * 3),
        (gram("i\u0307s", "i\u0307s"), "İs", [2 / 3, 1 / 3]),  # its small letter is two
        (word("ΟΔΟΣ"), "ΟΔΟΣ", [1 / 4] * 4),  # the last of its letters has another small one
        (gram("น้ํ", "น้ํ"), "น้ำ", [1 / 3, 1 / 3, 1 / 3]),
        (word("消息"), "消息。", [1 / 2, 1 / 2, 0]),
    ],
)
def test_a_feature_pushes_the_characters_that_it_covers(
    number: int, text: str, shares: list[float]
) -> None:
    pushes = Placed(text).pushes(knows(number), 0)
    np.testing.assert_allclose(pushes, shares, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("WIN a FREE phone now!", ["WIN", "a", "FREE", "phone", "now", "!"]),
        ("don't :-) 3,000", ["don", "'", "t", ":-)", "3", ",", "000"]),
        ("ẹ\u0301ṣọ́ e\u0323\u0301", ["ẹ\u0301ṣọ́", "e\u0323\u0301"]),
        ("संदेश क्षेत्र", ["संदेश", "क्षेत्र"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("消息，免费OK", ["消", "息", "，", "免", "费", "OK"]),
        ("น้ำ ข้าว", ["น้", "ำ", "ข้", "า", "ว"]),
        ("한글 문서", ["한글", "문서"]),
        ("ok 👩\u200d💻❤\ufe0f! 1\ufe0f\u20e3", ["ok", "👩\u200d💻❤\ufe0f!", "1\ufe0f\u20e3"]),
        ("\x00 \u0301a", ["\x00", "\u0301a"]),
        (" \n\u3000", []),
    ],
)
def test_spans_by_script(text: str, spans: list[str]) -> None:
    assert [text[start:end] for start, end, _ in spans_of(text)] == spans


def test_every_character_but_white_space_lies_in_one_span() -> None:
    for text in strings(2_000):
        inside = [i for start, end, _ in spans_of(text) for i in range(start, end)]
        assert inside == sorted(set(inside))
        outside = set(range(len(text))) - set(inside)
        assert "".join(text[i] for i in sorted(outside)).strip() == "", repr(text)


def test_words_keep_apart_when_one_is_taken_out() -> None:
    text = "win,now 免费的"
    spans = spans_of(text)
    assert [without(text, [span]) for span in spans] == [
        *(" ,now 免费的", "win now 免费的", "win,  免费的"),
        *("win,now 费的", "win,now 免的", "win,now 免费"),
    ]
    assert without(text, spans[:3]) == "  免费的"


def test_a_neural_push_is_what_the_logit_loses_without_the_span(backbone: Path) -> None:
    neural = np.array([[3, 1, 2], [0, 0, 0], [3, 1, 5], [4, 2, 3]], np.float32)
    explainer, explanation = explained("win a prize", backbone, neural, join=Join(0.5, 1), place=0)
    assert explainer.variants == ["  a prize", "win   prize", "win a  "]
    # centred: 1, 0, 0, 1
    assert [span.push.neural for span in explanation.spans] == pytest.approx([0.5, 0.5, 0])
    assert explanation.bias.neural == pytest.approx(-0.5)
    assert {span.push.lexical for span in explanation.spans} == {None}
    assert explanation.record() == {
        "label": "a",
        "spans": [
            {"start": 0, "end": 3, "text": "win", "neural": 0.5},
            {"start": 4, "end": 5, "text": "a", "neural": 0.5},
            {"start": 6, "end": 11, "text": "prize", "neural": 0.0},
        ],
        "bias": {"neural": -0.5},
    }


def test_all_pushes_together_are_the_logit(backbone: Path) -> None:
    """Also where a text is not read to its end, or neighbours share their push."""
    texts, join = [*strings(300), "free prize " * 400], Join(0.7, 2)
    part = fitted(texts)
    for text in texts:
        explainer = Explainer(text, part, join, encoder_of(backbone))
        neural = np.random.default_rng(1).normal(size=(1 + len(explainer.variants), 3))
        lexical = part.logits(text)
        explanation = explainer.explain(2, "c", neural.astype(np.float32), lexical)
        pushes = [*(span.push for span in explanation.spans), explanation.bias]
        wanted = 0.7 * (neural[0, 2] - neural[0].mean()) + 2 * lexical[2]
        assert sum(push.both for push in pushes) == pytest.approx(wanted, abs=1e-4), repr(text)


@pytest.mark.parametrize("text", ["win", " win\n", "免", "😀"])
def test_a_text_of_one_span_is_left_whole(text: str, backbone: Path) -> None:
    neural = np.array([[3, 1, 2]], np.float32)
    explainer, explanation = explained(text, backbone, neural, place=0)
    assert explainer.variants == []
    assert [span.push.neural for span in explanation.spans] == [None]
    assert explanation.bias.neural == 1


def test_neighbours_share_what_they_push_together(backbone: Path) -> None:
    count = MAX_VARIANTS + 8
    text = " ".join("ab"[i % 2] for i in range(count))
    neural = np.zeros((1 + MAX_VARIANTS, 3), np.float32)
    neural[0] = [0, 3, 0]
    explainer, explanation = explained(text, backbone, neural)
    assert len(explainer.variants) == MAX_VARIANTS
    pushes = [span.push.neural for span in explanation.spans]
    assert sorted(pushes) == pytest.approx([1.0] * 16 + [2.0] * (count - 16))


def test_a_neural_part_that_does_not_count_is_not_asked(backbone: Path) -> None:
    explainer, explanation = explained("win a prize", backbone, join=Join(0, 1))
    assert explainer.variants == []
    assert {span.push.neural for span in explanation.spans} == {0.0}
    assert explanation.bias.neural == 0


def test_what_is_not_read_is_not_asked(backbone: Path) -> None:
    """The tiny backbone reads 64 tokens, two of them around the text."""
    text = " ".join(["win"] * 31 + ["cash"] * 31 + ["late"] * 40)
    explainer, explanation = explained(text, backbone)
    assert len(explainer.variants) == MAX_VARIANTS
    assert not any("late" in variant for variant in explainer.variants)
    assert {span.push.neural for span in explanation.spans if span.text == "late"} == {0.0}
    assert 0.0 not in {span.push.neural for span in explanation.spans if span.text != "late"}


@pytest.mark.parametrize(
    "text", ["win cash " * 60, "ọjọ́ dára " * 60, "o\u0323jo\u0323\u0301 " * 90, "x" * 99]
)
def test_the_characters_read_are_those_of_the_tokens_kept(text: str, backbone: Path) -> None:
    encoder = encoder_of(backbone)
    read = encoder.characters_read(text)
    assert 0 < read <= len(text)
    (whole,) = encoder.encode([text])
    assert whole.truncated == (read < len(text))
    if " " in text:
        assert encoder.encode([text[:read]])[0].ids == whole.ids
        assert not encoder.encode([text[:read]])[0].truncated
    assert encoder.characters_read("win cash") == 8


@pytest.mark.parametrize(
    "text", ["win a prize, now! ", "x", "免费", "ﬁé ", "o\u0323jo\u0323\u0301 ", "😀 a"]
)
def test_the_longest_text_is_bounded(text: str, backbone: Path) -> None:
    """In what is computed of it, and in its answer."""
    longest = (text * MAX_CHARACTERS)[:MAX_CHARACTERS]
    part = fitted([longest[:50], "a b", "c d"] * 2)
    explainer, explanation = explained(longest, backbone, lexical=part, join=Join(1, 1))
    assert len(explainer.variants) <= MAX_VARIANTS
    read = encoder_of(backbone).characters_read(longest)
    assert max(map(len, explainer.variants), default=0) <= read + MARGIN + 1
    assert len(explanation.spans) <= MAX_SPANS
    ends = [0, *(span.end for span in explanation.spans)]
    assert all(span.start >= end for span, end in zip(explanation.spans, ends, strict=False))
    assert all(longest[span.start : span.end] == span.text for span in explanation.spans)
    assert lexical_sum(explanation) == pytest.approx(float(part.logits(longest)[1]), abs=1e-5)


def test_explained_work_is_counted() -> None:
    assert units(Row("spam", "hello mum")) == 1
    assert units(Row("spam", "hello mum", explain=True)) == 1 + 9
    assert units(Row("spam", "x" * 400, explain=True)) == 2 + 2 * MAX_VARIANTS
    longest = Row("spam", "x" * MAX_CHARACTERS, explain=True)
    assert units(longest) == 100 + MAX_VARIANTS * MAX_VARIANT


def test_the_strongest_are_found_in_texts_and_named() -> None:
    rows = Split(
        [f"Win a FREE prize {i}" for i in range(20)] + [f"see you at home {i}" for i in range(20)],
        ["spam"] * 20 + ["ham"] * 20,
        [],
    )
    part = fit_lexical(rows, ["ham", "spam"], [])
    assert part
    found = strongest(part.part, ["ham", "spam"], [*rows.texts, "jackpot"])
    assert (found["read"], found["texts"]) == (41, 41)
    best = {
        label: {kind: [name for name, _ in names] for kind, names in kinds.items()}
        for label, kinds in found["labels"].items()
    }
    told = {
        label: {w for name in kinds["words"] for w in name.split()} for label, kinds in best.items()
    }
    assert {"win", "free", "prize"} <= told["spam"]
    assert {"see", "you", "home"} <= told["ham"]
    assert not told["ham"] & told["spam"]
    assert all(name.strip(SPACE) for kinds in best.values() for name in kinds["ngrams"])
    assert any(SPACE in name for name in best["spam"]["ngrams"])
    pushes = [push for _, push in found["labels"]["spam"]["words"]]
    assert pushes == sorted(pushes, reverse=True)
    assert pushes[-1] > 0
    assert strongest(part.part, ["ham", "spam"], [])["labels"]["spam"] == {
        "words": [],
        "ngrams": [],
    }
