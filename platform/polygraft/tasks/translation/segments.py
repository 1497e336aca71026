"""A text as sentences and what stands between them, so that a translation keeps its paragraphs and
line breaks.

Sentences are found by `sentencex` (Wikimedia). One that is too long for the model is cut again, at
its last mark, comma or space that fits: nothing is dropped, and nothing that is kept, or a
glossary's term, is cut. Segments without a letter of their own (numbers, emoji, addresses) are not
translated: they stay verbatim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sentencex

from polygraft.architectures.text import TextEncoder
from polygraft.tasks.translation.glossary import Glossary
from polygraft.tasks.translation.kept import HIDDEN, Kind, hide, spans

SENTENCE_TOKENS = 60
_MARKS = re.compile(r"(?<=[,;:،؛—–)])\s+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Segment:
    """What is translated as one, and the white space after it. `verbatim`: it holds nothing to
    translate and stays as it is."""

    text: str
    after: str
    verbatim: bool


@dataclass(frozen=True)
class PlainText:
    """A text in its segments."""

    segments: list[Segment]

    @classmethod
    def read(
        cls, text: str, language: str, fits: Callable[[str], bool], glossary: Glossary = ()
    ) -> PlainText:
        return cls(split(text, language, fits, glossary))

    @property
    def texts(self) -> list[str]:
        """What is translated."""
        return [segment.text for segment in self.segments if not segment.verbatim]

    @property
    def sentences(self) -> Sequence[int]:
        """The places of those of `texts` that are whole sentences: all."""
        return range(len(self.texts))

    @property
    def around(self) -> list[str]:
        """What stands before the first translation, between each two, and after the last."""
        around = [""]
        for segment in self.segments:
            if segment.verbatim:
                around[-1] += segment.text + segment.after
            else:
                around.append(segment.after)
        return around

    def join(self, translations: Sequence[str]) -> str:
        """The text again, with the translations of `texts`."""
        return join(self.segments, translations)


def split(
    text: str, language: str, fits: Callable[[str], bool], glossary: Glossary = ()
) -> list[Segment]:
    """The segments of `text`, in order; texts and spaces joined give `text` back."""
    segments = []
    hidden_text, hidden_spans = hide(text, glossary)
    hidden = iter(hidden_spans)

    def shown(part: str) -> str:
        first, *others = part.split(HIDDEN)
        return first + "".join(next(hidden) + other for other in others)

    for line in re.split(r"(?<=\n)", hidden_text):
        for sentence in sentencex.segment(language, line) if line else []:
            for part in _fitting(sentence, fits):
                body = part.rstrip()
                lead = body[: len(body) - len(body.lstrip())]
                if lead:
                    segments.append(Segment("", lead, verbatim=True))
                body = body.lstrip()
                has_letters = any(c.isalpha() for c in body)
                body = shown(body)
                verbatim = not has_letters and not _has_term(body, glossary)
                segments.append(Segment(body, part[len(part.rstrip()) :], verbatim))
    return segments


def fits(encoder: TextEncoder) -> Callable[[str], bool]:
    """Whether a sentence is short enough to be translated as one: `SENTENCE_TOKENS` tokens at
    most."""
    return lambda sentence: (
        len(sentence) <= SENTENCE_TOKENS or len(encoder.encode([sentence])[0]) <= SENTENCE_TOKENS
    )


def join(segments: Sequence[Segment], translations: Sequence[str]) -> str:
    """The text again: the translations, of those that are not verbatim, in their places."""
    new = iter(translations)
    return "".join((one.text if one.verbatim else next(new)) + one.after for one in segments)


def _has_term(text: str, glossary: Glossary) -> bool:
    return any(span.kind is Kind.TERM for span in spans(text, glossary))


def _fitting(sentence: str, fits: Callable[[str], bool]) -> list[str]:
    """`sentence` in parts that fit."""
    if fits(sentence):
        return [sentence]
    for cut in (_MARKS, _SPACE):
        places = [m.end() for m in cut.finditer(sentence.rstrip())]
        middle = min(places, key=lambda at: abs(at - len(sentence) // 2), default=0)
        if 0 < middle < len(sentence) and _uneven(middle, len(sentence)) < 4:
            return [*_fitting(sentence[:middle], fits), *_fitting(sentence[middle:], fits)]
    half = len(sentence) // 2
    return (
        [sentence]
        if half == 0
        else [*_fitting(sentence[:half], fits), *_fitting(sentence[half:], fits)]
    )


def _uneven(first: int, whole: int) -> float:
    return max(first, whole - first) / max(1, min(first, whole - first))
