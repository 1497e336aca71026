"""Offsets are those of the text as it was sent, whatever stands in it."""

from __future__ import annotations

import random
import unicodedata
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from polygraft.adapters.format import Adapter
from polygraft.architectures.text import TextEncoder, load_encoder
from polygraft.errors import InvalidOption, InvalidRow
from polygraft.runtime.rows import Row
from polygraft.tasks.tagging.chain import FORBIDDEN, Chain
from polygraft.tasks.tagging.features import features
from polygraft.tasks.tagging.head import Head
from polygraft.tasks.tagging.lexical import Lexical
from polygraft.tasks.tagging.scheme import Scheme, may_follow, tags_of_labels
from polygraft.tasks.tagging.serving import TASK, Tagged
from polygraft.tasks.tagging.words import words_of

HIDDEN = 8
SCRIPTS = {  # first and last code point of letters
    "Latin": (0x41, 0x24F),
    "Greek": (0x370, 0x3FF),
    "Cyrillic": (0x400, 0x4FF),
    "Armenian": (0x531, 0x587),
    "Hebrew": (0x591, 0x5F4),
    "Arabic": (0x600, 0x6FF),
    "Ethiopic": (0x1200, 0x135A),
    "Devanagari": (0x900, 0x97F),
    "Bengali": (0x980, 0x9FE),
    "Tamil": (0xB82, 0xBFA),
    "Thai": (0xE01, 0xE5B),
    "Lao": (0xE81, 0xEDF),
    "Tibetan": (0xF00, 0xFD4),
    "Myanmar": (0x1000, 0x109F),
    "Georgian": (0x10A0, 0x10FF),
    "Khmer": (0x1780, 0x17F9),
    "Hangul": (0xAC00, 0xD7A3),
    "Kana": (0x3041, 0x30FF),
    "Han": (0x4E00, 0x9FFF),
    "N'Ko": (0x7C0, 0x7FA),
    "Emoji": (0x1F300, 0x1FAFF),
    "Mathematical": (0x1D400, 0x1D7FF),
    "Cuneiform": (0x12000, 0x12399),
}
EXTRAS = [
    *(" ", " ", "  ", "\n", "\t", "\u00a0", "\u200d", "\u200b", "\u0301", "\u0323", "\ufe0f"),
    *(".", "...", ",", "'", "’", "-", "1", "2,5", "A", "ß", "İ", "ﬁ", "\x07"),
    *("\U0001f469\u200d\U0001f469\u200d\U0001f467", "🇰🇪"),
]


def a_text(draw: random.Random) -> str:
    scripts = draw.sample(sorted(SCRIPTS), draw.randint(1, 3))
    pieces = []
    for _ in range(draw.randint(1, 14)):
        low, high = SCRIPTS[draw.choice(scripts)]
        if draw.random() < 0.6:
            letters = (chr(draw.randint(low, high)) for _ in range(draw.randint(1, 7)))
            pieces.append("".join(c for c in letters if unicodedata.category(c) != "Cs"))
        pieces.append(draw.choice(EXTRAS))
    form = draw.choice([None, "NFC", "NFD"])
    text = "".join(pieces)
    return unicodedata.normalize(form, text) if form else text  # type: ignore[arg-type]


def a_head(scheme: Scheme, labels: list[str]) -> Head:
    tags = tags_of_labels(labels, scheme)
    rng, allowed = np.random.default_rng(0), may_follow(tags, scheme)
    weight = rng.normal(size=(len(tags), HIDDEN)).astype(np.float32)
    chain = Chain(np.where(allowed, 0, FORBIDDEN).astype(np.float32))
    known = np.unique(features(["Nairobi", "na"]))
    of_letters = Lexical.of(known, rng.normal(size=(len(known), len(tags))))
    return Head(weight, np.zeros(len(tags), np.float32), chain, of_letters)


def a_tagger(scheme: Scheme, labels: list[str], window: int = 16) -> Adapter:
    manifest = SimpleNamespace(
        name="t", version="v", scheme=scheme, tags=tags_of_labels(labels, scheme), window=window
    )
    return Adapter(manifest, {}, a_head(scheme, labels))


def answer_to(text: str, adapter: Adapter, encoder: TextEncoder) -> Tagged:
    """Its answer where the backbone's states are chance."""
    plan = TASK.plan(Row("t", text), adapter, [], encoder)
    rng = np.random.default_rng(len(text))
    states = [
        rng.normal(size=(len(window), HIDDEN)).astype(np.float32)  # type: ignore[arg-type]
        for window in plan.texts
    ]
    answer = plan.answer(states)
    assert isinstance(answer, Tagged)
    return answer


@pytest.fixture(scope="module")
def encoder(root: Path) -> TextEncoder:
    return load_encoder(root / "platform" / "backbones" / "mini")


def test_spans_of_ten_thousand_texts_lie_where_they_say(encoder: TextEncoder) -> None:
    draw, spans, unreadable = random.Random(7), 0, 0
    taggers = [a_tagger("BIO", ["PER", "LOC"]), a_tagger("BIOES", ["PER", "LOC"])]
    for number in range(10_000):
        text = a_text(draw)
        if not text.strip():
            continue
        try:
            answer = answer_to(text, taggers[number % 2], encoder)
        except InvalidRow as error:
            unreadable += "nothing is left" in str(error)
            continue
        end = 0
        for span in answer.tags:
            assert text[span.start : span.end] == span.text, text
            assert span.text == span.text.strip() != ""
            assert span.start >= end, f"spans overlap in {text!r}"
            assert 0 <= span.score <= 1
            end = span.end
        spans += len(answer.tags)
    assert spans > 10_000
    assert unreadable < 500


def test_words_cover_all_that_is_not_white_space() -> None:
    draw = random.Random(11)
    for _ in range(3_000):
        text = a_text(draw)
        words = words_of(text)
        between = [text[a.end : b.start] for a, b in pairwise(words)]
        between += [text[: words[0].start], text[words[-1].end :]] if words else [text]
        assert all(not gap.strip() for gap in between), repr(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("N'ime Nairobi, U.S.", ["N'ime", "Nairobi", ",", "U.S", "."]),
        ("saa 18:30 na 3,500", ["saa", "18:30", "na", "3,500"]),
        ("Al-Shabab... sawa!!", ["Al", "-", "Shabab", "...", "sawa", "!!"]),
        ("東京へ", ["東", "京", "へ"]),
        ("\U0001f469\u200d\U0001f467 🇰🇪", ["\U0001f469\u200d\U0001f467", "🇰", "🇪"]),
        ("e\u0301te\u0301 ọ̀rọ̀", ["e\u0301te\u0301", "ọ̀rọ̀"]),
        (" \n ", []),
    ],
)
def test_how_text_is_cut(text: str, words: list[str]) -> None:
    assert [text[word.start : word.end] for word in words_of(text)] == words


def test_every_word_gets_a_tag_where_there_is_no_scheme(encoder: TextEncoder) -> None:
    text = "Ọlọ́run dá àwọn ọ̀run. " * 60  # several windows
    answer = answer_to(text, a_tagger("none", ["NOUN", "VERB"]), encoder)
    assert [tag.text for tag in answer.tags] == [text[w.start : w.end] for w in words_of(text)]
    assert set(answer.fields()) == {"word_tags"}


def test_a_text_of_control_characters_is_an_error_that_says_so(encoder: TextEncoder) -> None:
    with pytest.raises(InvalidRow, match="nothing is left of the text when it is normalised"):
        answer_to("\x07 \x08", a_tagger("BIO", ["PER"]), encoder)


def test_a_hundred_thousand_words_are_refused_or_read_as_far_as_one_may(
    encoder: TextEncoder,
) -> None:
    text, tagger = "Nairobi " * 100_000, a_tagger("BIO", ["PER"], window=128)
    with pytest.raises(InvalidRow, match="800,000 characters, at most 20,000 are read"):
        answer_to(text, tagger, encoder)
    plan = TASK.plan(Row("t", text, truncate=True), tagger, [], encoder)
    assert len(plan.texts) > 20


@pytest.mark.parametrize(
    ("option", "named"),
    [({"target": "fr"}, "target"), ({"threshold": 0.5}, "threshold"), ({"head": "x"}, "head")],
)
def test_options_of_other_tasks_are_refused(
    option: dict[str, object], named: str, encoder: TextEncoder
) -> None:
    with pytest.raises(InvalidOption, match=f"tags words; leave {named} out"):
        TASK.plan(Row("t", "x", **option), a_tagger("BIO", ["PER"]), [], encoder)  # type: ignore[arg-type]
