"""HTML: what is translated of it, and that all else stays."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polygraft.tasks.translation.markup import Html, plain


def translated(written: str, translate: Callable[[str], str] = str.upper) -> str:
    document = Html.read(written, "en", lambda _: True)
    return document.join([translate(text) for text in document.texts])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", ""),
        ("plain text", "PLAIN TEXT"),
        ("<p>One. Two!</p>\n<p>Three</p>", "<p>ONE. TWO!</p>\n<p>THREE</p>"),
        (
            "<ul>\n  <li>one</li>\n  <li>12</li>\n</ul>",
            "<ul>\n  <li>ONE</li>\n  <li>12</li>\n</ul>",
        ),
        ("one<br>two<br/>three", "ONE<br>TWO<br/>THREE"),
        ("<p>two\n  lines</p>", "<p>TWO LINES</p>"),
        ("<b>All of it.</b> <i>And this.</i>", "<b>ALL OF IT.</b> <i>AND THIS.</i>"),
        # attributes, scripts, styles, comments and what is not to be translated
        (
            "<a href='x?a=b&c' title=\"a > b\">one</a>",
            "<a href='x?a=b&c' title=\"a > b\">ONE</a>",
        ),
        (
            "<!DOCTYPE html><style>p {}</style><script>if (a < b) c()</script>one<!-- two -->",
            "<!DOCTYPE html><style>p {}</style><script>if (a < b) c()</script>ONE<!-- two -->",
        ),
        ("<pre>one\n two</pre><p>three", "<pre>one\n two</pre><p>THREE"),
        ("run <code>ls -l</code> now", "RUN <code>ls -l</code> NOW"),
        ("see <img src=x alt=y> here", "SEE <img src=x alt=y> HERE"),
        ("ask <span translate=no>Ada</span> now", "ASK <span translate=no>Ada</span> NOW"),
        (
            "<div class='a notranslate'>a<div>b</div>c</div>d",
            "<div class='a notranslate'>a<div>b</div>c</div>D",
        ),
        # characters
        ("a &lt; b &amp; c", "A &lt; B &amp; C"),
        ("1 &lt; 2", "1 &lt; 2"),
        ("&eacute;t&#233; &copy", "ÉTÉ ©"),
        ("AT&T &unknown; x", "AT&amp;T &amp;UNKNOWN; X"),
        # not well formed
        ("one</p> <b>two", "ONE</p> <b>TWO"),
        ("<script>never closed", "<script>never closed"),
    ],
)
def test_markup_stays_and_text_is_translated(written: str, expected: str) -> None:
    assert translated(written) == expected


def test_tags_follow_what_they_enclose() -> None:
    """In another order, and in a sentence that is translated whole."""
    spanish = {
        "The red car is new.": "El coche rojo es nuevo.",
        "red": "Rojo.",
        "new": "nuevo",
    }
    written = "<p>The <b>red</b> car is <i class=x>new</i>.</p>"
    assert translated(written, lambda text: spanish.get(text, "?")) == (
        "<p>El coche <b>rojo</b> es <i class=x>nuevo</i>.</p>"
    )


@pytest.mark.parametrize(
    ("whole", "part", "expected"),
    [
        ("El coche rojo.", "Rojo.", "El coche <b>rojo</b>."),
        # it is not there, is there twice, is part of a word, is nothing
        ("El coche colorado.", "rojo", "El <b>coche</b> colorado."),
        ("Rojo, un coche rojo.", "rojo", "Rojo, <b>un</b> coche rojo."),
        ("El cocherojo nuevo.", "rojo", "El <b>cocherojo</b> nuevo."),
        ("El coche rojo.", "", "El <b>coche</b> rojo."),
        ("Coche.", "rojo", "<b>Coche</b>."),
        ("", "rojo", "<b></b>"),
    ],
)
def test_where_a_part_is_not_found_once_its_tags_go_by_their_share(
    whole: str, part: str, expected: str
) -> None:
    spanish = {"The red car.": whole, "red": part}
    assert translated("The <b>red</b> car.", lambda text: spanish[text]) == expected


@pytest.mark.parametrize(
    ("written", "whole", "expected"),
    [
        (
            "Ask <a href=x>the <b>old</b> man</a> there",
            "Frag den alten Mann dort",
            "Frag <a href=x>den <b>alten</b> Mann</a> dort",
        ),
        ("Run <code>ls</code> now", "Starte jetzt", "Starte <code>ls</code> jetzt"),
        ("Look at <img src=x>", "Sieh an", "Sieh an <img src=x>"),
        ("one<wbr>two three", "eins zwei", "eins <wbr>zwei"),
        ("a <b>b</b> <i>c</i> d", "A B C D", "A <b>B</b> <i>C</i> D"),
        ("a <b>b c d</b>", "A", "<b>A</b>"),
        ("never <b>closed at all", "nie zu Ende", "nie <b>zu Ende"),
        ("closed</i> only here", "nur hier zu", "nur</i> hier zu"),
        ("<i class=icon></i> save it", "es sichern", "<i class=icon></i> es sichern"),
        ("An <b>old</b> car of a very old man", "Un coche", "<b>Un</b> coche"),
        ("where is <b>it</b>?", "où est-ce ?", "où <b>est-ce</b> ?"),
        ("where is <b>it?</b>", "où est-ce?", "où <b>est-ce?</b>"),
        ("where is <b>it</b>.", "où est.", "où <b>est</b>."),
        ("save <i class=icon></i> it", "es sichern", "es <i class=icon></i> sichern"),
    ],
)
def test_tags_that_are_no_simple_pairs_go_by_their_share(
    written: str, whole: str, expected: str
) -> None:
    sentence = plain(written)
    known = {sentence: whole} | dict.fromkeys(("b", "c", "b c d", "it", "old"), "?")
    assert translated(written, lambda text: known[text]) == expected


def test_translations_are_escaped() -> None:
    assert translated("<b>x</b>", lambda _: "<script>&") == "<b>&lt;script&gt;&amp;</b>"
    spanish = {"a red car": "un <auto> rojo", "red": "rojo"}
    assert translated("a <b>red</b> car", lambda text: spanish[text]) == (
        "un &lt;auto&gt; <b>rojo</b>"
    )


@pytest.mark.parametrize(
    "written",
    [
        "<p>Hello <b>big <i>bad</i></b> world. Second <i>one</i>!</p><ul><li>An item</li></ul>",
        "<b>a<i>b</b>c</i> </u> <a><a>x</a>",
        "x<y>z <3 & && &amp;amp; <!-- --> <![CDATA[ a ]]> <? php ?> </>",
        "<div translate=no><br><div>a</div></div><svg><text>b</text></svg>c",
        "\n\n<p>\n a\r\n\tb \n</p>\n ",
        "é<b>日本語。</b>هي هڪ جملو<i>آهي۔</i> ٻيو",
    ],
)
def test_no_tag_and_no_word_is_lost(written: str) -> None:
    check_that_nothing_is_lost(written)


TOKENS = (
    *("<b>", "</b>", "<i class='x y'>", "</i>", "<p>", "</p>", "<br/>", "<img src=a>", "<code>"),
    *("</code>", "<i translate=no>", "<script>", "</script>", "<!-- c -->", "<", "&", "&amp;"),
    *("word ", "One. ", "Two? ", "\n", "3", "日本。"),
)


@given(st.lists(st.sampled_from(TOKENS), max_size=14).map("".join))
@settings(max_examples=400, derandomize=True, database=None, deadline=None)
def test_whatever_the_nesting_nothing_is_lost(written: str) -> None:
    check_that_nothing_is_lost(written)


def check_that_nothing_is_lost(written: str) -> None:
    """Of a text that is translated into itself: tags may only move to the ends of their words."""
    (tags, text), (same_tags, same_text) = (
        (TAG.findall(one), "".join(html.unescape(TAG.sub("", one)).split()))
        for one in (written, translated(written, lambda text: text))
    )
    assert same_tags == tags
    assert same_text == text


TAG = re.compile(r"<[^<>]*>")


def test_the_language_is_told_by_what_is_translated() -> None:
    written = "<p>Hello <b>big</b> world.</p>\n<script>var x</script><!-- no --><p>again</p>"
    assert plain(written) == "Hello big world. again"
