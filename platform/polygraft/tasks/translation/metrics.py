"""Scores of written text: chrF++ and BLEU by sacreBLEU, with signatures and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sacrebleu
from numpy.typing import NDArray

from polygraft.reporting.intervals import Interval, Numbers, resampled

Texts = Sequence[str]
Counts = NDArray[np.float64]


def scores(hypotheses: Texts, references: Texts) -> dict[str, Any]:
    """chrF++ and BLEU, 0 to 100, with sacreBLEU's signatures (Post 2018; Popovic 2017)."""
    chrf, bleu = chrf_plus_plus(), sacrebleu.BLEU()
    return {
        "chrf++": round(chrf.corpus_score(list(hypotheses), [list(references)]).score, 1),
        "bleu": round(bleu.corpus_score(list(hypotheses), [list(references)]).score, 1),
        "signatures": [str(chrf.get_signature()), str(bleu.get_signature())],
    }


def chrf_plus_plus() -> sacrebleu.CHRF:
    return sacrebleu.CHRF(word_order=2)


def interval(references: Texts, runs: Sequence[Texts], seed: int = 0) -> Interval:
    """Corpus chrF++ with its 95% bootstrap interval over sentences; of several runs (seeds), their
    mean."""
    statistics = [_statistics(run, references) for run in runs]

    def figure(rows: Numbers, seeds: Numbers) -> float:
        return float(np.mean([_score(statistics[seed], rows) for seed in seeds]))

    return resampled(len(references), len(statistics), figure, seed)


def paired_difference(
    references: Texts, ours: Sequence[Texts], theirs: Sequence[Texts], seed: int = 0
) -> Interval:
    """chrF++ of ours minus theirs, the same sentences and seeds resampled for both (Koehn 2004).
    `theirs` may be one run."""
    left, right = ([_statistics(run, references) for run in runs] for runs in (ours, theirs))
    assert len(right) in (1, len(left))

    def figure(rows: Numbers, seeds: Numbers) -> float:
        differences = [
            _score(left[seed], rows) - _score(right[min(seed, len(right) - 1)], rows)
            for seed in seeds
        ]
        return float(np.mean(differences))

    return resampled(len(references), len(left), figure, seed)


def _score(statistics: tuple[Counts, Callable[[Counts], float]], rows: Numbers) -> float:
    """The corpus score of the sentences `rows`."""
    counts, score = statistics
    return score(counts[rows].sum(axis=0))


def _statistics(hypotheses: Texts, references: Texts) -> tuple[Counts, Callable[[Counts], float]]:
    """Counts of each sentence [rows, counts], and the corpus score of their sum, as in sacreBLEU's
    own significance test."""
    metric = chrf_plus_plus()
    counts: Counts = np.array(
        metric._extract_corpus_statistics(list(hypotheses), [list(references)]), np.float64
    )
    return counts, lambda total: float(metric._compute_score_from_stats(total.tolist()).score)
