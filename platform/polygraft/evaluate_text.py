"""Scores of written text: chrF++ and BLEU by sacreBLEU, with signatures and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sacrebleu
from numpy.typing import NDArray

from polygraft.evaluate import Interval, resampled

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
    """Corpus chrF++ with its 95% bootstrap interval over sentences; of several runs (seeds), their mean."""
    return _resampled(references, [(1.0, run) for run in runs], len(runs), seed)


def paired_difference(references: Texts, ours: Sequence[Texts], theirs: Sequence[Texts], seed: int = 0) -> Interval:
    """chrF++ of ours minus theirs, the same sentences resampled for both (Koehn 2004)."""
    assert len(ours) == len(theirs)
    return _resampled(references, [*((1.0, run) for run in ours), *((-1.0, run) for run in theirs)], len(ours), seed)


def _resampled(references: Texts, signed: Sequence[tuple[float, Texts]], over: int, seed: int) -> Interval:
    parts = [(sign, *_statistics(run, references)) for sign, run in signed]

    def figure(chosen: NDArray[np.int64]) -> float:
        return sum(sign * score(stats[chosen].sum(axis=0)) for sign, stats, score in parts) / over

    return resampled(len(references), figure, seed)


def _statistics(hypotheses: Texts, references: Texts) -> tuple[Counts, Callable[[Counts], float]]:
    """Counts of each sentence [rows, counts], and the corpus score of their sum, as in sacreBLEU's own significance test."""
    metric = chrf_plus_plus()
    counts: Counts = np.array(metric._extract_corpus_statistics(list(hypotheses), [list(references)]), np.float64)
    return counts, lambda total: float(metric._compute_score_from_stats(total.tolist()).score)
