"""A text as sentences and what stands between them, so that a translation keeps its paragraphs and line breaks.

Sentences are found by `sentencex` (Wikimedia). One that is too long for the model is cut again, at its last mark, comma or
space that fits: nothing is dropped. Pieces without a letter (numbers, emoji, rules) are not translated but kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import sentencex

from polygraft.architectures.text import TextEncoder

SENTENCE_TOKENS = 60
_MARKS = re.compile(r"(?<=[,;:،؛—–)])\s+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Piece:
    """What is translated as one, and the white space after it. `kept`: it holds no letter and stays as it is."""

    text: str
    after: str
    kept: bool


def split(text: str, language: str, fits: Callable[[str], bool]) -> list[Piece]:
    """The pieces of `text`, in order; texts and spaces joined give `text` back."""
    pieces = []
    for line in re.split(r"(?<=\n)", text):
        for sentence in sentencex.segment(language, line) if line else []:
            for part in _fitting(sentence, fits):
                body = part.rstrip()
                lead = body[: len(body) - len(body.lstrip())]
                if lead:
                    pieces.append(Piece("", lead, kept=True))
                body = body.lstrip()
                pieces.append(Piece(body, part[len(part.rstrip()) :], kept=not any(c.isalpha() for c in body)))
    return pieces


def fits(encoder: TextEncoder) -> Callable[[str], bool]:
    """Whether a sentence is short enough to be translated as one: `SENTENCE_TOKENS` tokens at most."""
    return lambda sentence: len(sentence) <= SENTENCE_TOKENS or len(encoder.encode([sentence])[0]) <= SENTENCE_TOKENS


def join(pieces: list[Piece], translated: list[str]) -> str:
    """The text again, with each piece's translation in its place."""
    return "".join(new + piece.after for piece, new in zip(pieces, translated, strict=True))


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
    return [sentence] if half == 0 else [*_fitting(sentence[:half], fits), *_fitting(sentence[half:], fits)]


def _uneven(first: int, whole: int) -> float:
    return max(first, whole - first) / max(1, min(first, whole - first))
