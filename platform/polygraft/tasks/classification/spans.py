"""A text cut into the spans that an explanation speaks of. Standard library only.

A span is a run of word characters, or of other characters that are not white space; in scripts
that are written without spaces it is one character, with its marks. Marks and joiners stay with
the character before them, so that an emoji of several code points is not cut. Offsets are in code
points of the text as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from polygraft.tasks.classification.features import WORD

MAX_SPANS = 512
"""Of an explanation, so that an answer has a bound: where there are more, neighbours are put
together."""
SPACELESS = (
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"  # Chinese and Japanese
    "\u0e00-\u0e7f\u0e80-\u0eff"  # Thai, Lao
    "\u1780-\u17ff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Khmer, Myanmar
)
WORD_CHARACTER = WORD.pattern.removesuffix("+")  # one character of a word: letter, digit or mark
JOINED = rf"(?:(?!\w){WORD_CHARACTER}|[\u200c\u200d])"  # a mark, or a joiner
_SPAN = re.compile(
    rf"(?P<alone>[{SPACELESS}]{JOINED}*)"
    rf"|(?:(?![{SPACELESS}])(?:{WORD_CHARACTER}|[\u200c\u200d]))+"
    rf"|(?:(?!{WORD_CHARACTER}|[\u200c\u200d])\S{JOINED}*)+"
)


class Span(NamedTuple):
    """`text[start:end]`. `alone`: of a script without spaces, where nothing is left in its place
    when it is taken out."""

    start: int
    end: int
    alone: bool = False


def spans_of(text: str) -> list[Span]:
    """Every character of `text` that is not white space lies in one span."""
    return [Span(*match.span(), match["alone"] is not None) for match in _SPAN.finditer(text)]


def grouped(count: int, groups: int) -> list[range]:
    """`count` places in at most `groups` runs of neighbours, as even as can be."""
    groups = min(count, groups)
    ends = [count * group // groups for group in range(groups + 1)] if groups else [0]
    return [range(start, end) for start, end in pairwise(ends)]


def fewer(spans: Sequence[Span]) -> list[Span]:
    """At most `MAX_SPANS`, neighbours put together."""
    return [_together(spans[run.start : run.stop]) for run in grouped(len(spans), MAX_SPANS)]


def without(text: str, spans: Sequence[Span]) -> str:
    """`text` with neighbouring spans, and what lies between them, taken out. A space is left in
    their place, or what stood on both sides would become one word."""
    hole = _together(spans)
    return text[: hole.start] + ("" if hole.alone else " ") + text[hole.end :]


def _together(spans: Sequence[Span]) -> Span:
    return Span(spans[0].start, spans[-1].end, all(span.alone for span in spans))
