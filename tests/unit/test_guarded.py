"""What is to be kept stands in the translation as often as in the text, whatever the model makes of
it; and a glossary's terms are rendered."""

from __future__ import annotations

import random
import re
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polygraft.errors import InvalidOption
from polygraft.tasks.translation.glossary import MAX_TERM, MAX_TERMS, Glossary, read_glossary
from polygraft.tasks.translation.guarded import STAND_INS, Guarded, kept_in
from polygraft.tasks.translation.kept import kept
from polygraft.tasks.translation.markup import Html
from polygraft.tasks.translation.segments import PlainText

BENCH: dict[str, Any] = runpy.run_path(
    str(Path(__file__).parents[1] / "bench" / "kept.py"), run_name="kept"
)
Model = Callable[[str], str]


def translated(text: str, model: Model, glossary: Glossary = (), *, html: bool = False) -> str:
    """As `tasks.translation.serving` does."""
    kind: Any = Html if html else PlainText
    document = kind.read(text, "en", lambda one: len(one) < 300, glossary)
    elsewhere = frozenset[str]().union(*map(kept_in, document.texts))
    sentences = [Guarded.read(one, glossary, elsewhere) for one in document.texts]
    written: str = document.join([one.restore(model(one.text)) for one in sentences])
    return written


def hostile(rng: random.Random) -> Model:
    """A model that drops, repeats, mangles and makes up words, numbers and marks."""

    def write(text: str) -> str:
        words = list[str]()
        for word in text.split():
            chance = rng.random()
            if chance < 0.5:
                words.append(word)
            elif chance < 0.6:
                words += [word, word]
            elif chance < 0.7:
                made_up = (str(rng.randint(0, 30)), "10:30", "@ada", "E670,5", "{name}", "%s")
                words.append(rng.choice(made_up))
            elif chance < 0.8:
                words.append(f"l'{word.upper()}’s-{rng.choice(STAND_INS)}")
        rng.shuffle(words)
        return rng.choice([" ", "  "]).join(words) + rng.choice(["", ".", " :", "...", "/", "@"])

    return write


def check(count: int) -> None:
    rng = random.Random(1)
    for i in range(count):
        one = BENCH["built"](rng)
        for model in (hostile(rng), lambda text: text, lambda text: ""):
            written = translated(one.text, model)
            assert BENCH["lost"](one, written) == [], (i, one.text, written)


def test_nothing_is_lost_whatever_the_model_writes() -> None:
    check(100)


@pytest.mark.long
def test_nothing_is_lost_in_a_thousand_texts() -> None:
    check(1000)


def test_the_model_reads_names_in_place_of_what_it_cannot_write() -> None:
    one = Guarded.read("Write to bob@x.org before 10:30, or call {name} 👍🏽!")
    assert one.text == "Write to Boston before 10:30, or call Paris !"
    assert one.restore("Appelez Paris avant 10:30, ou Boston !") == (
        "Appelez {name} avant 10:30, ou bob@x.org 👍🏽!"
    )
    own = Guarded.read("Go to Boston, see www.x.org")
    assert own.text == "Go to Boston, see Paris", "a stand-in is none of the sentence's own names"


def test_what_was_not_written_stands_by_its_share_of_the_sentence() -> None:
    one = Guarded.read("We saw 12 men at {place} then.")
    assert one.restore("un deux trois quatre.") == "un deux 12 trois {place} quatre."
    assert one.restore("un 21 trois Boston.") == "un 12 trois {place}.", "a wrong number is mended"
    assert one.restore("un,12 Boston.") == "un, 12 {place}.", "it reads as another"
    assert one.restore("un 5.com 12 Boston.") == "un 12 {place}.", "made up"
    address = Guarded.read("Go to https://x.org now.")
    assert address.restore("l'Boston’s ici.") == "l' https://x.org ’s ici.", "set apart, no more"
    assert Guarded.read("<b>Good</b> day").restore("Bon jour") == "<b>Bon</b> jour"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://x.org/a_(b). And (www.x.org)!", ["https://x.org/a_(b)", "www.x.org"]),
        ("a.b+c@x-y.co.uk, @ada: #Ẹ̀kọ́ :+1:", ["a.b+c@x-y.co.uk", "@ada", "#Ẹ̀kọ́", ":+1:"]),
        ("1,000.50 -5 10:30 2024-05-01 ٣٤", ["1,000.50", "-5", "10:30", "2024-05-01", "٣٤"]),
        ("the 1st, 2nd and 21st of B2B", []),
        ("{a} {{ b.c }} ${D} %s %1$s %(n)d %.2f", ["{a}", "{{ b.c }}", "${D}", "%s", "%1$s",
                                                   "%(n)d", "%.2f"]),
        ("{n, plural, one {{x} file} other {# files}}", ["{n, plural, one {{x} file} other {# "
                                                         "files}}"]),
        ("<a href='x y'>b</a> <!-- c --> &amp; AT&T 3 < 4 > 1", ["<a href='x y'>", "</a>",
                                                           "<!-- c -->", "&amp;", "3", "4", "1"]),
        ("~/a/b.txt /usr/bin C:\\a\\b.doc and/or he/she x.pdf", ["~/a/b.txt", "/usr/bin",
                                                                "C:\\a\\b.doc", "x.pdf"]),
        ("👩‍👩‍👧👍🏽 🇳🇬 3️⃣ ❤️", ["👩‍👩‍👧", "👍🏽", "🇳🇬", "3️⃣", "❤️"]),
        ("It was 50% and e.g. this; no: that. Dr. Who", ["50"]),
    ],
)  # fmt: skip
def test_what_is_kept(text: str, expected: list[str]) -> None:
    assert [span.written for span in kept(text)] == expected


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aB1.,:/@#%{}<>&;()[]'\" -_\\$\n\ue000é́😀", max_size=60))
def test_any_text_comes_back_from_a_model_that_copies(text: str) -> None:
    document = PlainText.read(text, "en", lambda one: len(one) < 300)
    assert document.join(document.texts) == text
    for one in document.texts:
        guarded = Guarded.read(one)
        restored = guarded.restore(guarded.text)
        assert {s.written for s in kept(one)} <= {s.written for s in kept(restored)}, restored


@pytest.mark.parametrize(
    "hostile_text",
    ["{" * 20_000, "{a" * 10_000, "<!--" * 5_000, "http://" + "." * 20_000, "a.a@" * 5_000,
     "1" * 20_000, "a/" * 10_000, ("{" + "a" * 199) * 100, "<a" * 10_000, "%(" * 10_000],
)  # fmt: skip
def test_no_text_takes_long_to_look_through(hostile_text: str) -> None:
    """By the processor's time, and far from the bound: some of these could take minutes."""
    start = time.process_time()
    kept(hostile_text)
    assert time.process_time() - start < 10


# glossaries

TERMS = read_glossary(
    {"Lagos State": "Ìpínlẹ̀ Èkó", "Lagos": "Èkó", "Ọba": "king 5", "e-mail": "imeeli"}
)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("He left LAGOS   STATE for Lagos.", "He left Ìpínlẹ̀ Èkó for Èkó."),
        ("The Ọba spoke of 5 men.", "The king 5 spoke of 5 men."),
        ("Lagosian e-mails; an e-mail", "Lagosian e-mails; an imeeli"),
        ("See https://x.org/Lagos in Lagos", "See https://x.org/Lagos in Èkó"),
        ("Lagos", "Èkó"),
    ],
)
def test_terms_are_rendered_the_longest_first(text: str, written: str) -> None:
    assert translated(text, lambda one: one, TERMS) == written


def test_no_tag_stands_inside_of_a_rendering() -> None:
    """Where the words that a tag encloses are not found, it goes by its share of the sentence."""
    rng = random.Random(3)
    for _ in range(100):
        written = "<p>We saw <b>Lagos State</b> and <i>the</i> old <u>road</u> there</p>"
        translation = translated(written, hostile(rng), TERMS, html=True)
        assert translation.count("Ìpínlẹ̀ Èkó") == 1, translation
        assert translation.count("<") == written.count("<")


def test_terms_are_rendered_whatever_the_model_writes() -> None:
    rng = random.Random(2)
    glossary = read_glossary(BENCH["TERMS"])
    for _ in range(200):
        one = BENCH["with_terms"](rng)
        for html in (False, True):
            written = translated(one.text, hostile(rng), glossary, html=html)
            assert all(written.count(term) >= n for term, n in one.items.items()), (one, written)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"": "x"}, "term '' is empty"),
        ({"a": " "}, "rendering ' ' is empty"),
        ({"a": "x\ny"}, "line break"),
        ({"Lagos": "Èkó", "LAGOS": "Lagos"}, "are one term, with the renderings 'Èkó' and 'Lagos'"),
        ({"\u1eccba": "a", "O\u0323ba": "b"}, "are one term"),
        ({"a" * (MAX_TERM + 1): "x"}, f"at most {MAX_TERM} are read"),
        ({str(i): "x" for i in range(MAX_TERMS + 1)}, f"at most {MAX_TERMS} are read"),
        ({"\ud800": "x"}, "not valid Unicode"),
    ],
)
def test_a_glossary_that_cannot_be_kept_to_is_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidOption, match=re.escape(told)):
        read_glossary(given)


def test_terms_that_say_the_same_are_one() -> None:
    assert len(read_glossary({"Lagos": "Èkó", "lagos": "Èkó"})) == 1
    assert read_glossary(None) == ()
