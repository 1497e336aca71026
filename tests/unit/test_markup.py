"""HTML: what is translated of it, and that all else stays."""

from __future__ import annotations

import html
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
    ("whole", "part"),
    [
        ("El coche colorado.", "rojo"),  # it is not there
        ("Rojo, un coche rojo.", "rojo"),  # it is there twice
        ("El cocherojo.", "rojo"),  # it is part of a word
        ("El coche rojo.", ""),
    ],
)
def test_where_a_part_is_not_found_once_each_piece_is_translated_by_itself(
    whole: str, part: str
) -> None:
    spanish = {"The red car.": whole, "The": "El", "red": part, "car": "coche."}
    written = "The <b>red</b> car."
    assert translated(written, lambda text: spanish[text]) == f"El <b>{part}</b> coche."


def test_a_piece_gets_no_end_that_it_did_not_have() -> None:
    """Nor does it lose one that it had, which a tag separates from the words before."""
    spanish = {"The": "El.", "red": "¡Rojo!", "my friend": "Amigo mío."}
    written = "The <b>red <img></b>, my friend!"
    assert translated(written, lambda text: spanish[text]) == "El <b>Rojo <img></b>, Amigo mío!"


def test_translations_are_escaped() -> None:
    assert translated("<b>x</b>", lambda _: "<script>&") == "<b>&lt;script&gt;&amp;</b>"
    spanish = {"a red car": "un <auto> rojo", "red": "rojo"}
    assert translated("a <b>red</b> car", lambda text: spanish.get(text, "?")) == (
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
    assert same(translated(written, lambda text: text), written)


TOKENS = (
    *("<b>", "</b>", "<i class='x y'>", "</i>", "<p>", "</p>", "<br/>", "<img src=a>", "<code>"),
    *("</code>", "<i translate=no>", "<script>", "</script>", "<!-- c -->", "<", ">", "&", "&amp;"),
    *("word ", "One. ", "Two? ", "\n", "3", "日本。"),
)


@given(st.lists(st.sampled_from(TOKENS), max_size=14).map("".join))
@settings(max_examples=400, derandomize=True, database=None, deadline=None)
def test_whatever_the_nesting_nothing_is_lost(written: str) -> None:
    assert same(translated(written, lambda text: text), written)


def same(one: str, other: str) -> bool:
    """But for white space, and the ways to write a character."""
    bare = ["".join(html.unescape(text).split()) for text in (one, other)]
    return bare[0] == bare[1]


def test_the_language_is_told_by_what_is_translated() -> None:
    written = "<p>Hello <b>big</b> world.</p>\n<script>var x</script><!-- no --><p>again</p>"
    assert plain(written) == "Hello big world. again"
