"""Text as hashed features: words, pairs of words, and character n-grams within words. numpy and a
hash library only: training and serving call the same functions.

A text is cut at white space into chunks. Each chunk, in Unicode form NFKC and small letters, gives
its words, and its character n-grams with a space before and after (as scikit-learn's `char_wb`
does). A word is a run of letters, digits and combining marks: without the marks, Devanagari and
Arabic words fall apart. Each feature is a number below `2 * BUCKETS`: words and pairs below
`BUCKETS`, n-grams from there (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask
Learning"; without their sign, since collisions are rare among 2^20).

Whatever changes a feature's number must change `HASH`: an adapter made with another is refused.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache

import mmh3
import numpy as np
from numpy.typing import NDArray

HASH = "mmh3-20-words12-chars25-nfkc"
BUCKETS = 2**20
SMALLEST, LARGEST = 2, 5  # characters of an n-gram
KEPT_CHUNKS, KEPT_CHARACTERS = 2**14, 32  # of the cache: about 10 MB
_PAIR = np.uint32(2654435761)  # Knuth's multiplicative hash, The Art of Computer Programming, 6.4

_MARKS = "".join(
    chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "M"
)
WORD = re.compile(rf"[\w{re.escape(_MARKS)}]+")

Numbers = NDArray[np.int32]
Counts = NDArray[np.float32]
TextFeatures = tuple[Numbers, Counts]
"""Of one text, as `features` gives them."""
_Chunk = tuple[NDArray[np.uint32], Numbers]


def features(text: str) -> TextFeatures:
    """The features of a text, ascending, and how often each occurs. Empty for a text without any
    (white space only)."""
    unique, counts = np.unique(Occurrences(text).numbers, return_counts=True)
    return unique, counts.astype(np.float32)


class Occurrences:
    """Every feature of a text as often as it occurs, before they are counted: `words` and `pairs`
    in order, `grams` chunk by chunk."""

    def __init__(self, text: str) -> None:
        parts = [_chunk(c) if len(c) <= KEPT_CHARACTERS else _hashed(c) for c in text.split()]
        hashes = np.concatenate([np.zeros(0, np.uint32), *(words for words, _ in parts)])
        self.words = (hashes % BUCKETS).astype(np.int32)
        self.pairs = ((hashes[:-1] * _PAIR + hashes[1:]) % BUCKETS).astype(np.int32)
        self.grams = np.concatenate([np.zeros(0, np.int32), *(grams for _, grams in parts)])

    @property
    def numbers(self) -> Numbers:
        """All of them: words, pairs, n-grams."""
        return np.concatenate([self.words, self.pairs, self.grams])


def normalised(chunk: str) -> str:
    """A chunk as it is read: NFKC, small letters."""
    return unicodedata.normalize("NFKC", chunk).lower()


def gram_spans(chunk: str) -> list[tuple[int, int]]:
    """Where each n-gram of a chunk lies in ` chunk `, in the order of its numbers."""
    padded = len(chunk) + 2
    return [
        (start, min(start + length, padded))
        for length in range(SMALLEST, LARGEST + 1)
        for start in range(max(1, padded - length + 1))
    ]


def _hashed(chunk: str) -> _Chunk:
    """The hashes of a chunk's words, and the numbers of its n-grams."""
    read = normalised(chunk)
    padded = f" {read} "
    words = [_hash(word, 0) for word in WORD.findall(read)]
    grams = [
        BUCKETS + _hash(padded[start:end], end - start) % BUCKETS for start, end in gram_spans(read)
    ]
    return np.array(words, np.uint32), np.array(grams, np.int32)


def _hash(piece: str, seed: int) -> int:
    # a lone surrogate is no Unicode text; the API refuses it, a file of training rows may hold one
    return mmh3.hash(piece.encode("utf-8", "surrogatepass"), seed, signed=False)


_chunk = lru_cache(KEPT_CHUNKS)(_hashed)
