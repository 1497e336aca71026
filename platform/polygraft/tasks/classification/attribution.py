"""What each character of a text pushes a classifier's lexical part towards a label: exact, since
that part is linear. numpy only.

A feature's push is its TF-IDF value times its weight. Each of its occurrences has an equal share,
which is spread evenly over the characters that it covers: a pair of words gives half to each word,
and the spaces that stand around a chunk while it is cut into n-grams get nothing. What is read is
NFKC and small letters (see `features`); it is led back to the characters as they were sent, a
letter with its marks at a time. Where that cannot be told apart, a whole chunk has its push evenly.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from polygraft.tasks.classification.features import (
    WORD,
    Numbers,
    Occurrences,
    gram_spans,
    normalised,
)
from polygraft.tasks.classification.lexical import Lexical

Pushes = NDArray[np.float64]
_Ranges = NDArray[np.int64]  # [ranges, 2], of characters read
_CHUNK = re.compile(r"\S+")  # as `str.split` has them
_JAMO = range(0x1160, 0x1200)  # vowels and endings, which make one syllable with what stands before


class Placed:
    """The features of a text as often as they occur, and the characters that each covers."""

    def __init__(self, text: str) -> None:
        self.length = len(text)
        self._numbers: Numbers = Occurrences(text).numbers
        self._words, self._grams, self._segments, read_of_segments = _places(text)
        self._segment_of_read = np.repeat(np.arange(len(self._segments)), read_of_segments)

    def pushes(self, lexical: Lexical, label: int) -> Pushes:
        """[characters] of the text as it was sent; the label's logit is their sum, and its bias as
        far as the text is known."""
        numbers, place, counts = np.unique(self._numbers, return_inverse=True, return_counts=True)
        known = lexical.vocabulary.of(numbers, counts.astype(np.float32))
        pushes = np.zeros(len(numbers))
        at = np.searchsorted(numbers, lexical.vocabulary.features[known.places])
        weights = lexical.weight[known.places, label].astype(np.float64)
        pushes[at] = lexical.trust(known.share) * known.values * weights
        each = (pushes / counts)[place]
        words, pairs, grams = np.split(each, [len(self._words), len(each) - len(self._grams)])
        words[:-1] += pairs / 2
        words[1:] += pairs / 2
        return self._as_sent(self._spread(words, self._words) + self._spread(grams, self._grams))

    def _spread(self, pushes: Pushes, ranges: _Ranges) -> Pushes:
        """[characters read], of pushes that are each spread over a range of them."""
        starts, ends = ranges[:, 0], ranges[:, 1]
        density, size = pushes / (ends - starts), len(self._segment_of_read) + 1
        steps = np.bincount(starts, density, size) - np.bincount(ends, density, size)
        spread: Pushes = np.cumsum(steps)[:-1]
        return spread

    def _as_sent(self, read: Pushes) -> Pushes:
        sizes = self._segments[:, 1] - self._segments[:, 0]
        pushes = np.bincount(self._segment_of_read, read, len(sizes)) / sizes
        characters = np.zeros(self.length)
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        characters[np.repeat(self._segments[:, 0], sizes) + within] = np.repeat(pushes, sizes)
        return characters


def _places(text: str) -> tuple[_Ranges, _Ranges, _Ranges, list[int]]:
    """Where the words and the n-grams of `text` lie in what is read of it, its chunks one after
    another; the segments of the text as it was sent, and how many characters are read of each."""
    words, grams, segments = list[tuple[int, int]](), list[tuple[int, int]](), []
    sizes, begin = list[int](), 0
    for chunk in _CHUNK.finditer(text):
        read = normalised(chunk[0])
        end = begin + len(read)
        words += [(begin + match.start(), begin + match.end()) for match in WORD.finditer(read)]
        for start, stop in gram_spans(read):  # in the chunk between two spaces
            grams.append((max(begin + start - 1, begin), min(begin + stop - 1, end)))
        for start, stop, size in _segments_of(chunk[0], len(read)):
            segments.append((chunk.start() + start, chunk.start() + stop))
            sizes.append(size)
        begin = end
    return _ranges(words), _ranges(grams), _ranges(segments), sizes


def _segments_of(chunk: str, read: int) -> list[tuple[int, int, int]]:
    """Start and end of each letter of `chunk` with its marks, and how many of the `read` characters
    are read of it; the whole chunk as one where letters do not keep apart when it is normalised."""
    cuts = [place for place, letter in enumerate(chunk) if place == 0 or not _joins(letter)]
    bounds = list(pairwise([*cuts, len(chunk)]))
    pieces = [unicodedata.normalize("NFKC", chunk[start:end]) for start, end in bounds]
    sizes = [sum(len(letter.lower()) for letter in piece) for piece in pieces]
    if "".join(pieces) != unicodedata.normalize("NFKC", chunk) or sum(sizes) != read:
        return [(0, len(chunk), read)]
    return [(*bound, size) for bound, size in zip(bounds, sizes, strict=True)]


def _joins(letter: str) -> bool:
    """Whether it may become one with the letter before it."""
    return unicodedata.category(letter)[0] == "M" or ord(letter) in _JAMO


def _ranges(pairs: list[tuple[int, int]]) -> _Ranges:
    return np.array(pairs, np.int64).reshape(-1, 2)
