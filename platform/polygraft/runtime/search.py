"""Greedy and beam search, and sampling, over the next tokens of one text: which to take, and when
it is done. Pure Python, no arrays kept.

Beam search as in Wu et al. 2016 (GNMT, section 7), with the score of a finished text divided by
length ** `length_penalty`; sampling from the likeliest tokens as in Fan et al. 2018 (Hierarchical
Neural Story Generation, section 5.2).
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polygraft.errors import InvalidOption

MAX_BEAM, MAX_NO_REPEAT = 16, 16
MAX_PENALTY, MAX_TEMPERATURE = 4, 4
SAMPLED_FROM = 16


@dataclass(frozen=True)
class Search:
    """How to look for a translation. `beam` 1 is greedy. `n_best` hypotheses come back, at most
    `beam`. No sequence of `no_repeat` tokens is written twice; 0: no such rule. `temperature` above
    0 draws every token from the `SAMPLED_FROM` likeliest, the likeliest less often the higher it
    is; the same `seed` draws the same text."""

    beam: int = 1
    n_best: int = 1
    length_penalty: float = 1.0
    no_repeat: int = 0
    temperature: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        """Raises `InvalidOption` for values that make no sense together."""
        if not 1 <= self.beam <= MAX_BEAM:
            raise InvalidOption(f"beam is {self.beam}; give 1 (greedy) to {MAX_BEAM}")
        if not 1 <= self.n_best <= self.beam:
            raise InvalidOption(f"n_best is {self.n_best}; give 1 to the beam, {self.beam}")
        if not 0 <= self.no_repeat <= MAX_NO_REPEAT:
            raise InvalidOption(f"no_repeat is {self.no_repeat}; give 0 (off) to {MAX_NO_REPEAT}")
        if not -MAX_PENALTY <= self.length_penalty <= MAX_PENALTY:
            raise InvalidOption(
                f"length_penalty is {self.length_penalty}; give -{MAX_PENALTY} to {MAX_PENALTY}"
            )
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise InvalidOption(
                f"temperature is {self.temperature}; give 0 (off) to {MAX_TEMPERATURE}"
            )
        if self.temperature and self.beam > 1:
            raise InvalidOption(
                f"temperature draws single tokens, a beam of {self.beam} does not; leave one of "
                "them out"
            )


@dataclass(frozen=True)
class Hypothesis:
    """Tokens without those around them; `score` is their log-probability over length **
    length_penalty; `cut` when the bound was reached before the end."""

    tokens: list[int]
    score: float
    cut: bool = False

    @property
    def length(self) -> int:
        """In tokens, the end's too."""
        return max(1, len(self.tokens) + (0 if self.cut else 1))

    def log_probability(self, length_penalty: float) -> float:
        """The mean of its tokens, of a search with that penalty."""
        return float(self.score * self.length ** (length_penalty - 1))


Candidate = tuple[float, int, int]
"""A text's log-probability with one token more, the beam it goes on from, and that token."""


class BeamState:
    """The search over one text: its beams, their log-probabilities, and the texts that have ended.
    Greedy search has one beam. `advance` once a step."""

    def __init__(
        self, search: Search, end: int, max_tokens: int, never: Collection[int] = ()
    ) -> None:
        """`never` are tokens that are not written."""
        self.search, self.end, self.max_tokens, self.never = search, end, max_tokens, set(never)
        self._beams: list[list[int]] = [[] for _ in range(search.beam)]
        # Beams start equal: only the first may be extended.
        self._sums = [0.0] + [-np.inf] * (search.beam - 1)
        self._ended: list[Hypothesis] = []
        self._random = random.Random(search.seed)

    @property
    def next_tokens_needed(self) -> int:
        """How many of a beam's likeliest next tokens `advance` has to see to be sure of its
        choice."""
        max_banned = len(self.never)
        if self.search.no_repeat:
            max_banned += max(0, len(self._beams[0]) - self.search.no_repeat + 1)
        if self.search.temperature:
            return SAMPLED_FROM + max_banned
        return (1 if self.search.beam == 1 else 2 * self.search.beam) + max_banned

    @property
    def likeliest(self) -> list[int]:
        """The tokens so far of the likeliest beam."""
        return self._beams[0]

    def advance(
        self, tokens: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> list[tuple[int, int]] | None:
        """Given the likeliest next tokens and their log-probabilities [beam, best]: (beam, token)
        of each new beam, in order; None when the text is done."""
        candidates = self._candidates(tokens, scores)
        if self.search.temperature:
            candidates = self._draw(candidates[:SAMPLED_FROM])
        extended: list[Candidate] = []
        for total, beam, token in candidates[: 2 * self.search.beam]:
            if token == self.end:
                self._end(self._beams[beam], total, cut=False)
                if self.search.beam == 1:
                    return None
            else:
                extended.append((total, beam, token))
            if len(extended) == self.search.beam:
                break
        if not extended:
            return None
        while len(extended) < self.search.beam:
            extended.append((-np.inf, *extended[0][1:]))
        self._beams = [[*self._beams[beam], token] for _, beam, token in extended]
        self._sums = [total for total, _, _ in extended]
        if len(self._beams[0]) >= self.max_tokens:
            for written, total in zip(self._beams, self._sums, strict=True):
                if len(self._ended) < self.search.beam and total > -np.inf:
                    self._end(written, total, cut=True)
            return None
        if self._is_decided():
            return None
        return [(beam, token) for _, beam, token in extended]

    def hypotheses(self) -> list[Hypothesis]:
        """The `n_best` texts, best first; one that ended before one that was cut."""
        ordered = sorted(self._ended, key=lambda h: (h.cut, -h.score))
        if not ordered:
            return [Hypothesis(self._beams[0], self._sums[0], cut=True)]
        return ordered[: self.search.n_best]

    def _candidates(
        self, tokens: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> list[Candidate]:
        """Every beam with each of its next tokens that may follow, likeliest first."""
        candidates: list[Candidate] = []
        for beam, written in enumerate(self._beams):
            if not self._sums[beam] > -np.inf:
                continue
            banned = self._banned(written)
            for k in range(tokens.shape[1]):
                token = int(tokens[beam, k])
                if token not in banned:
                    candidates.append((self._sums[beam] + float(scores[beam, k]), beam, token))
        return sorted(candidates, key=lambda candidate: -candidate[0])

    def _draw(self, candidates: list[Candidate]) -> list[Candidate]:
        """One of the candidates, the likelier the more often."""
        best = max(total for total, _, _ in candidates)
        weights = [math.exp((total - best) / self.search.temperature) for total, _, _ in candidates]
        return self._random.choices(candidates, weights)

    def _end(self, written: list[int], total: float, *, cut: bool) -> None:
        """Keep a text that has ended, or, when `cut`, goes no further."""
        ended = Hypothesis(written, total, cut)
        score = total / ended.length**self.search.length_penalty
        self._ended.append(replace(ended, score=score))

    def _is_decided(self) -> bool:
        """Whether enough texts have ended, and no open beam can still do better at its present
        length."""
        if len(self._ended) < self.search.beam:
            return False
        worst = sorted((h.score for h in self._ended), reverse=True)[self.search.beam - 1]
        return bool(self._sums[0] / len(self._beams[0]) ** self.search.length_penalty <= worst)

    def _banned(self, written: list[int]) -> set[int]:
        """Tokens that may not follow `written`: those that never may, and those that would end a
        sequence of `no_repeat` tokens that stands in it."""
        size = self.search.no_repeat
        if not size or len(written) < size:
            return self.never
        last = written[len(written) - size + 1 :]
        return self.never | {
            written[i + size - 1]
            for i in range(len(written) - size + 1)
            if written[i : i + size - 1] == last
        }
