"""A text cut into the words that are tagged. Standard library only.

A word is a run of letters, digits and marks, with an apostrophe, a point, a comma or a colon where
letters or digits stand on both sides ("n'ime", "U.S", "3,500", "18:30"; near to UAX #29); a symbol,
or the same one several times ("..."); in scripts that are written without spaces it is one
character. A hyphen parts words. Offsets are in code points of the text as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from polygraft.tasks.classification.spans import JOINED, SPACELESS, WORD_CHARACTER

WORDS = "words-1"
"""How text is cut: whatever changes it must change this, since adapters are trained on it."""
_RUN = rf"(?:(?![{SPACELESS}])(?:{WORD_CHARACTER}|[\u200c\u200d]))+"
_INNER = rf"(?:(?<={WORD_CHARACTER})['’ʼ.](?=\w)|(?<=\d)[,:](?=\d))"
_WORD = re.compile(
    rf"[{SPACELESS}]{JOINED}*"
    rf"|{_RUN}(?:{_INNER}{_RUN})*"
    rf"|(?P<symbol>\S)(?P=symbol)*{JOINED}*(?:(?<=\u200d)\S{JOINED}*)*"
)


class Word(NamedTuple):
    """`text[start:end]`."""

    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """Every character of `text` that is not white space lies in one word."""
    return [Word(*match.span()) for match in _WORD.finditer(text)]


def pieces_of(text: str, words: Sequence[Word]) -> list[str]:
    """The words themselves."""
    return [text[word.start : word.end] for word in words]
