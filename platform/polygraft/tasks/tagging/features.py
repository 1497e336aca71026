"""What is known of a word without a backbone, as hashed features: its letters, its beginning and
end, its shape, and the same of its neighbours. numpy and a hash library only: training and serving
call the same functions.

Each word has `OWN` features of itself, hashed once and kept (see `_hashed`); those of its
neighbours are these numbers mixed with where the neighbour stands. Whatever changes a feature's
number must change `HASH`: an adapter made with another is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby

import mmh3
import numpy as np
from numpy.typing import NDArray

HASH = "mmh3-31-word-affix5-shape-window2-nfkc"
LONGEST = 5  # characters of a beginning or an end
KEPT = 2**15  # words of the cache: about 8 MB
Numbers = NDArray[np.int32]
_Hashes = NDArray[np.uint32]

WORD, SHAPE, OUTLINE = 0, 1, 2  # places among a word's own features
PREFIX, SUFFIX = 3, 3 + LONGEST
OWN = 3 + 2 * LONGEST
_NEAR = [WORD, OUTLINE, PREFIX + 2, SUFFIX + 2]  # of the words on both sides
FEATURES = OWN + 2 * len(_NEAR) + 2 + 6
_FACTOR = np.uint32(2654435761)  # Knuth's multiplicative hash, The Art of Computer Programming, 6.4
_STEP = 0x9E3779B1  # 2^32 over the golden ratio: it sets the templates apart


def features(words: Sequence[str]) -> Numbers:
    """The features of each word of a text, in the order of the templates: [words, FEATURES]."""
    own = np.stack([_EDGE, _EDGE, *(_hashed(word) for word in words), _EDGE, _EDGE])
    here, before, behind = own[2:-2], own[1:-3], own[3:-1]
    pairs = [
        _pair(before, here, WORD),
        _pair(here, behind, WORD),
        _pair(before, behind, WORD),
        _pair(before, here, OUTLINE),
        _pair(here, behind, OUTLINE),
        _joined(_pair(before, here, OUTLINE), behind[:, OUTLINE]),
    ]
    columns = [
        here,
        _mixed(before[:, _NEAR], 1),
        _mixed(behind[:, _NEAR], 2),
        _mixed(own[:-4, [WORD]], 3),
        _mixed(own[4:, [WORD]], 4),
        *(_mixed(pair[:, None], 5 + number) for number, pair in enumerate(pairs)),
    ]
    hashes = np.concatenate(columns, axis=1)
    return (hashes >> np.uint32(1)).astype(np.int32)  # what a head's file can hold


def shape_of(word: str) -> str:
    """Its characters as X, x, d or themselves, at most two alike in a row: `Xxd` of Ab12, `X.X.` of
    U.S."""
    shape = ""
    for kind, run in groupby(word, key=_kind_or_itself):
        shape += kind * min(2, sum(1 for _ in run))
    return shape[:12]


def outline_of(word: str) -> str:
    """The same in short: one a run, and `-` for what is neither letter nor digit."""
    kinds: Callable[[str], str] = lambda c: _kind(c) or "-"  # noqa: E731
    return "".join(kind for kind, _ in groupby(word, key=kinds))[:6]


def _kind(character: str) -> str:
    if character.isdigit():
        return "d"
    if character.isupper():
        return "X"
    return "x" if character.isalpha() else ""


def _kind_or_itself(character: str) -> str:
    return _kind(character) or character


@lru_cache(KEPT)
def _hashed(word: str) -> _Hashes:
    """A word's own features."""
    read = unicodedata.normalize("NFKC", word).lower()
    read = "".join("0" if c.isdigit() else c for c in read)
    beginnings = [read[:length] for length in range(1, LONGEST + 1)]
    ends = [read[-length:] for length in range(1, LONGEST + 1)]
    pieces = [read, shape_of(word), outline_of(word), *beginnings, *ends]
    return _numbers(pieces)


def _numbers(pieces: Sequence[str]) -> _Hashes:
    return np.array(
        # a lone surrogate is no Unicode text; a file of training rows may hold one
        [
            mmh3.hash(p.encode("utf-8", "surrogatepass"), i, signed=False)
            for i, p in enumerate(pieces)
        ],
        np.uint32,
    )


_EDGE = _numbers([f"\0{place}" for place in range(OWN)])
"""What stands before the first word and behind the last."""


def _joined(one: _Hashes, other: _Hashes) -> _Hashes:
    return one * _FACTOR + other


def _pair(one: _Hashes, other: _Hashes, place: int) -> _Hashes:
    return _joined(one[:, place], other[:, place])


def _mixed(numbers: _Hashes, template: int) -> _Hashes:
    """The numbers as those of another template."""
    return (numbers ^ np.uint32(template * _STEP % 2**32)) * _FACTOR
