"""Two versions of a name compared by what was observed of them, each figure with a 95% interval.

Shares have Wilson's interval (Wilson 1927). The others are percentile bootstraps over rows (Efron &
Tibshirani 1993, chapter 13), with a fixed seed. Agreement and Cohen's kappa (1960) are of rows that
both versions answered, which only a shadow gives; label shift is the total variation distance
between the labels of the rows of each, half the sum of the differences of their shares: a canary's
rows are a random share, so what is beyond chance is the version's. Its interval is corrected for
the distance that two samples of the same labels have. numpy only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.rollout.observed import Observations, Outcome, Pairs, Version

RESAMPLES = 500
QUANTILES = (0.1, 0.5, 0.9)
Z = 1.959964
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class VersionFigures:
    """Of one version: rows observed, those that ended in an error of the server, quantiles of the
    scores, and milliseconds for which a row's caller waited; None where nothing tells."""

    version: str
    rows: int
    error_rate: Figure | None
    scores: dict[str, Figure]
    milliseconds: Figure | None


@dataclass(frozen=True)
class Comparison:
    """`pairs`: rows that both answered. None where nothing tells."""

    version: VersionFigures
    against: VersionFigures
    pairs: int
    agreement: Figure | None
    kappa: Figure | None
    label_shift: Figure | None


def compare(observations: Observations, version: str, against: str) -> Comparison:
    one, other = observations.version(version), observations.version(against)
    pairs = observations.pairs(version, against)
    return Comparison(
        _figures(version, one),
        _figures(against, other),
        pairs.rows,
        agreement(pairs),
        kappa(pairs),
        label_shift(_labels(one.last), _labels(other.last)),
    )


def agreement(pairs: Pairs) -> Figure | None:
    """The share of the rows of which both said the same."""
    same = sum(a.said == b.said for a, b in pairs.last)
    return share(same, len(pairs.last))


def share(count: int, total: int) -> Figure | None:
    """Wilson's interval of a share; None of nothing."""
    if total == 0:
        return None
    value = count / total
    middle = (value + Z**2 / (2 * total)) / (1 + Z**2 / total)
    half = Z / (1 + Z**2 / total) * math.sqrt(value * (1 - value) / total + (Z / (2 * total)) ** 2)
    return Figure(value, max(0.0, middle - half), min(1.0, middle + half))


def kappa(pairs: Pairs) -> Figure | None:
    """Agreement beyond chance; None where there are no labels, or both only ever said one."""
    labels = [(a.label, b.label) for a, b in pairs.last if a.label and b.label]
    if not labels:
        return None
    known = {label: i for i, label in enumerate(sorted({x for pair in labels for x in pair}))}
    table = np.zeros((len(known), len(known)), np.int64)
    for first, second in labels:
        table[known[first], known[second]] += 1
    if len(known) == 1:
        return None
    return _resampled(table.ravel(), lambda counts: _kappa(counts.reshape(table.shape)))


def label_shift(one: Sequence[str], other: Sequence[str]) -> Figure | None:
    """How far apart the labels of two sets of rows are, 0 to 1; None of none."""
    if not one or not other:
        return None
    known = sorted({*one, *other})
    counts = [np.array([Counter(some)[label] for label in known]) for some in (one, other)]
    value = _distance(*counts)
    rng = np.random.default_rng(0)
    drawn = [rng.multinomial(c.sum(), c / c.sum(), RESAMPLES) for c in counts]
    resampled = np.array([_distance(a, b) for a, b in zip(*drawn, strict=True)])
    pooled = (counts[0] + counts[1]) / (counts[0].sum() + counts[1].sum())
    alike = [rng.multinomial(c.sum(), pooled, RESAMPLES) for c in counts]
    chance = float(np.mean([_distance(a, b) for a, b in zip(*alike, strict=True)]))
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Figure(value, max(0.0, float(low) - chance), float(high))


def _figures(name: str, version: Version) -> VersionFigures:
    answered = np.array([o.score for o in version.last if o.score is not None])
    waited = np.array([1000 * o.seconds for o in version.last if o.seconds is not None])
    scores = {
        f"p{round(100 * q)}": _of_rows(answered, lambda x, q=q: np.quantile(x, q, axis=-1))
        for q in QUANTILES
        if len(answered)
    }
    return VersionFigures(
        name,
        version.rows,
        share(version.failed, version.rows),
        scores,
        _of_rows(waited, lambda x: np.mean(x, axis=-1)) if len(waited) else None,
    )


def _labels(outcomes: Sequence[Outcome] | Any) -> list[str]:
    return [one.label for one in outcomes if one.label is not None]


def _distance(one: Counts, other: Counts) -> float:
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def _kappa(table: Counts) -> float:
    total = table.sum()
    same = np.trace(table) / total
    chance = float((table.sum(0) * table.sum(1)).sum() / total**2)
    return float((same - chance) / (1 - chance)) if chance < 1 else 1.0


def _resampled(counts: Counts, figure: Callable[[Counts], float]) -> Figure:
    """`figure` of counts of kinds of rows."""
    rng, total = np.random.default_rng(0), counts.sum()
    values = [figure(drawn) for drawn in rng.multinomial(total, counts / total, RESAMPLES)]
    low, high = np.quantile(values, (0.025, 0.975))
    return Figure(figure(counts), float(low), float(high))


def _of_rows(values: NDArray[np.float64], figure: Callable[..., Any]) -> Figure:
    rng = np.random.default_rng(0)
    drawn = np.array([figure(rng.choice(values, len(values))) for _ in range(RESAMPLES)])
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Figure(float(figure(values)), float(low), float(high))
