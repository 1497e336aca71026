"""What a translation keeps as it was written, found in a text: addresses, numbers, emoji,
placeholders, tags; and a glossary's terms, which are kept or rendered.

Does not: keep anything (see `guarded`), or know languages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from polygraft.tasks.translation.glossary import (
    LETTER,
    Glossary,
    key_of,
    renderings_of,
    term_pattern,
)

HIDDEN = "\ue000"
"""Stands for a span while sentences are looked for. One in the text itself is a span too."""


Place = tuple[int, int]
"""Start and end in a text."""


class Kind(Enum):
    """How a span stands in its sentence. `NAME`: like a name (an address, a path, a placeholder, a
    handle). `NUMBER`. `OBJECT`: outside of its grammar (an emoji, a tag). `TERM`: a glossary's."""

    NAME = "name"
    NUMBER = "number"
    OBJECT = "object"
    TERM = "term"


@dataclass(frozen=True)
class Span:
    """`text[start:end]`, and what stands for it in a translation."""

    start: int
    end: int
    kind: Kind
    written: str

    @property
    def place(self) -> Place:
        return self.start, self.end


_ENDS = r"""[^\s<>()"'.,;:!?…。،؟»”’\]\u200e\u200f]"""
_IN_PARENTHESES = r"""\([^\s<>()"]{0,200}\)"""
_REST_OF_ADDRESS = (
    rf"""(?:[^\s<>()"\u200e\u200f]|{_IN_PARENTHESES})*(?:{_ENDS}|{_IN_PARENTHESES})"""
)
_INNER_BRACES = r"\{[^{}]{0,200}\}"
_OUTER_BRACES = rf"\{{(?:[^{{}}]|{_INNER_BRACES}){{0,200}}\}}"
_BRACES = rf"\{{(?:[^{{}}]|{_OUTER_BRACES}){{0,200}}\}}"
"""As of `{name}`, `{{ name }}` and `{count, plural, one {# item}}`."""
_PICTURE = (
    r"(?:[\U0001f300-\U0001f3fa\U0001f400-\U0001faff\u2600-\u27bf\u231a-\u23ff\u2b05-\u2b55"
    r"\u2190-\u21ff\u3030\u303d\u00a9\u00ae\u2122][\ufe0e\ufe0f]?[\U0001f3fb-\U0001f3ff]?)"
)
_EXTENSIONS = (
    "pdf|docx?|xlsx?|pptx?|odt|csv|tsv|txt|md|rtf|json|xml|ya?ml|html?|css|js|ts|py|java|go|rs|sh|"
    "exe|zip|gz|tar|png|jpe?g|gif|svg|webp|mp[34]|wav|mov|avi|srt|po|ini|log|sql"
)
_OBJECTS = (
    r"<!--.{0,2000}?-->",
    r"</?[A-Za-z][^<>]{0,2000}>",
    r"&(?:[A-Za-z][A-Za-z0-9]{1,31}|\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6});",
    r"[\U0001f1e6-\U0001f1ff]{2}",
    r"[0-9#*]\ufe0f?\u20e3",
    rf"{_PICTURE}(?:\u200d{_PICTURE})*[\U000e0020-\U000e007f]*",
    r"[\ue000-\uf8ff]",
)
_NAMES = (
    rf"\$?{_BRACES}",
    r"%\([A-Za-z_]\w{0,60}\)[#0+-]*[0-9]*(?:\.[0-9]+)?[diouxXeEfFgGcrsa]",
    r"%(?:[0-9]+\$)?[#0+-]*[0-9]*(?:\.[0-9]+)?(?:hh?|ll?|[Lzjt])?[diouxXeEfFgGcs@](?!\w)",
    rf"(?:https?|ftps?|file)://{_REST_OF_ADDRESS}",
    rf"(?:mailto:|www\.){_REST_OF_ADDRESS}",
    r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,6}[^\W\d_]{2,24}(?![\w-])",
    r"(?<![\w.@-])(?:[A-Za-z0-9-]{1,63}\.){1,4}(?:com|org|net|edu|gov|io|info|app|dev|[a-z]{2}/)"
    rf"(?![\w-])(?:/{_REST_OF_ADDRESS})?",
    rf"(?<![\w@])@\w(?:(?:{LETTER}|[.-]){{0,60}}{LETTER})?",
    rf"(?<![\w#&])\#{LETTER}{{1,100}}",
    r"(?<![\w:]):[a-z0-9_+-]{1,40}:(?![\w:])",
    r"(?<![\w.])[A-Za-z]:\\[^\s<>:\"|?*]*[\w\\]",
    r"(?<![\w./~])(?:~|\.{1,2})/[\w.@+/-]*[\w/]",
    r"(?<![\w./~])/(?:[\w.@+-]+/)+(?:[\w.@+-]*\w)?",
    rf"(?<![\w./~-])(?:[\w-][\w.@+-]*/){{0,12}}[\w-][\w.-]{{0,80}}\.(?:{_EXTENSIONS})(?![\w-])",
)
_NUMBERS = (
    r"(?<!\w)(?<![0-9][.,:])(?:[+\u2212-](?=[0-9]))?[^\W\D_]+(?:[.,:/'\u2019\u066b\u066c-][^\W\D_]+)*(?!\d)"
    r"(?!(?:st|nd|rd|th|er|e|[ºª])\b)",
)
_KEPT = re.compile(
    "|".join(
        f"(?P<{kind.value}>{'|'.join(patterns)})"
        for kind, patterns in (
            (Kind.OBJECT, _OBJECTS),
            (Kind.NAME, _NAMES),
            (Kind.NUMBER, _NUMBERS),
        )
    ),
    re.DOTALL,
)


def kept(text: str) -> list[Span]:
    """What of `text` is kept as it is, in order."""
    return [
        Span(match.start(), match.end(), Kind(match.lastgroup), match[0])
        for match in _KEPT.finditer(text)
    ]


def spans(text: str, glossary: Glossary = ()) -> list[Span]:
    """What of `text` is kept or rendered, in order, none over another. A term gives way to what it
    is only a part of, an address say, unless that is a number."""
    found = kept(text)
    if not glossary:
        return found
    renderings = renderings_of(glossary)
    terms = [
        Span(match.start(), match.end(), Kind.TERM, renderings[key_of(match[0])])
        for match in term_pattern(glossary).finditer(text)
        if key_of(match[0]) in renderings
    ]
    terms = [term for term in terms if not any(_gives_way(term, span) for span in found)]
    found = [span for span in found if not any(overlap(term.place, span.place) for term in terms)]
    return sorted([*terms, *found], key=lambda span: span.start)


def hide(text: str, glossary: Glossary = ()) -> tuple[str, list[str]]:
    """`text` with one character in place of every span but the numbers, and the spans' texts."""
    hidden, at, texts = "", 0, list[str]()
    for span in spans(text, glossary):
        if span.kind is not Kind.NUMBER:
            hidden += text[at : span.start] + HIDDEN
            texts.append(text[span.start : span.end])
            at = span.end
    return hidden + text[at:], texts


def outside(text: str, place: int, glossary: Glossary = ()) -> int:
    """`place` in a translation, or where the span, or the rendering of a term, ends that it lies
    inside of."""
    solid = [span.place for span in kept(text)]
    for _, rendering in glossary:
        solid += [match.span() for match in re.finditer(re.escape(rendering), text)]
    return max([end for start, end in solid if start < place < end], default=place)


def overlap(one: Place, other: Place) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _gives_way(term: Span, span: Span) -> bool:
    covers = term.start <= span.start and span.end <= term.end
    return overlap(term.place, span.place) and span.kind is not Kind.NUMBER and not covers
