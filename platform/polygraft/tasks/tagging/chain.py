"""Tags of a sequence by a linear chain: the likeliest sequence that the scheme allows (Viterbi
1967), and how likely each of its parts is (forward and backward sums; Lafferty et al. 2001,
"Conditional Random Fields"). numpy only.

The probability of a sequence is proportional to the exponential of its words' emissions and of the
transitions between them. Tags that may not follow one another have the transition `FORBIDDEN`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.tasks.serving import Floats

FORBIDDEN = -1e3
"""In logarithms: no sum of emissions makes up for it, and an adapter's file may hold it."""
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Chain:
    """`transitions` [tags + 1, tags + 1], from the row's tag to the column's; the last row and
    column are what lies before the first word and behind the last."""

    transitions: Floats

    @property
    def between(self) -> Floats:
        return self.transitions[:-1, :-1]

    @property
    def first(self) -> Floats:
        return self.transitions[-1, :-1]

    @property
    def last(self) -> Floats:
        return self.transitions[:-1, -1]

    def best(self, emissions: Floats) -> Places:
        """The likeliest tags, int64 [words], of emissions [words, tags]."""
        words, tags = emissions.shape
        if not words:
            return np.zeros(0, np.int64)
        before = np.zeros((words, tags), np.int64)
        scores = self.first + emissions[0]
        for word in range(1, words):
            paths = scores[:, None] + self.between
            before[word] = paths.argmax(axis=0)
            scores = paths.max(axis=0) + emissions[word]
        best = np.empty(words, np.int64)
        best[-1] = (scores + self.last).argmax()
        for word in range(words - 1, 0, -1):
            best[word - 1] = before[word, best[word]]
        return best

    def sums(self, emissions: Floats) -> Sums:
        """Over all sequences, for the probabilities of parts of one. Each word's sums are brought
        to 1, and what they were divided by is kept (Rabiner 1989, section V.A)."""
        words, tags = emissions.shape
        largest = emissions.max(axis=1, keepdims=True)
        factors = np.exp(emissions - largest, dtype=np.float64)
        steps = np.exp(self.between, dtype=np.float64)
        until, since = np.empty((words, tags)), np.empty((words, tags))
        scales_until, scales_since = np.empty(words), np.empty(words)
        came = np.exp(self.first, dtype=np.float64)
        for word in range(words):
            here = came * factors[word]
            scales_until[word] = here.sum()
            until[word] = here / scales_until[word]
            came = until[word] @ steps
        follows = np.exp(self.last, dtype=np.float64)
        for word in range(words - 1, -1, -1):
            scales_since[word] = follows.sum()
            since[word] = follows / scales_since[word]
            follows = steps @ (factors[word] * since[word])
        shifts = np.log(scales_until) + largest[:, 0]
        behind = np.log(scales_since) + np.append(largest[1:, 0], 0.0)
        with np.errstate(divide="ignore"):  # what has no chance
            return Sums(
                self,
                emissions,
                np.log(until) + np.cumsum(shifts)[:, None],
                np.log(since) + np.cumsum(behind[::-1])[::-1, None],
            )


@dataclass(frozen=True)
class Sums:
    """Logarithms of sums over all beginnings that end with a tag at a word (`until`, the word's
    emission included) and over all that may follow it (`since`): [words, tags] each."""

    chain: Chain
    emissions: Floats
    until: NDArray[np.float64]
    since: NDArray[np.float64]

    @property
    def whole(self) -> float:
        return float(_log_sum(self.until[-1] + self.since[-1], 0))

    def words(self) -> NDArray[np.float64]:
        """The probability of every tag at every word, [words, tags]."""
        logs = self.until + self.since
        shares: NDArray[np.float64] = np.exp(logs - _log_sum(logs, 1)[:, None])
        return shares

    def span(self, first: int, tags: Places, goes_on: NDArray[np.bool_]) -> float:
        """The probability that the words from `first` on have just these tags and that the span
        ends with them: that none of the tags `goes_on` [tags] follows."""
        last = first + len(tags) - 1
        path = self.until[first, tags[0]]
        for place, (one, other) in enumerate(pairwise(tags), first + 1):
            path += self.chain.between[one, other] + self.emissions[place, other]
        if last == len(self.emissions) - 1:
            after = float(self.chain.last[tags[-1]])
        else:
            following = (
                self.chain.between[tags[-1]] + self.emissions[last + 1] + self.since[last + 1]
            )
            after = float(_log_sum(np.where(goes_on, FORBIDDEN, following), 0))
        return float(np.exp(min(0.0, path + after - self.whole)))


def _log_sum(values: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """The logarithm of the sum of exponentials along an axis."""
    largest = values.max(axis=axis, keepdims=True)
    total = np.log(np.exp(values - largest).sum(axis=axis))
    shifted: NDArray[np.float64] = total + largest.squeeze(axis)
    return shifted
