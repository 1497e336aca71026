"""Metrics with confidence intervals, and the baselines every adapter is shown beside.

Intervals are 95% percentile bootstraps (Efron & Tibshirani 1993, chapter 13) over examples and,
with several seeds, over seeds: each resample draws seeds, and examples that all of them are scored
on. The figure is the mean over seeds. Does not train adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.data.small_tests import least_share

RESAMPLES = 1000
Labels = NDArray[np.str_]
Numbers = NDArray[np.int64]
Metric = Callable[[Any, Any], float]
Rows = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class Interval:
    """A figure in percent and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"

    @property
    def verdict(self) -> str:
        """Of a gain: `helps` or `harms` when the interval excludes zero, else `no evidence`."""
        if self.low > 0:
            return "helps"
        return "harms" if self.high < 0 else "no evidence"

    def record(self) -> dict[str, float]:
        return asdict(self)


def bootstrap(gold: Rows, runs: Sequence[Rows], metric: Metric, seed: int = 0) -> Interval:
    """`metric` of one or several runs (seeds) on the same rows.

    No resample of rows that are all right has a wrong one. Then the lower end is that of the exact
    interval of a share (Clopper & Pearson 1934), as for accuracy.
    """
    labels, ours = np.asarray(gold), _arrays(runs)

    def figure(rows: Numbers, seeds: Numbers) -> float:
        return float(np.mean([metric(labels[rows], ours[s][rows]) for s in seeds]))

    interval = resampled(len(labels), len(ours), figure, seed)
    if interval.low < 100:
        return interval
    return replace(interval, low=round(least_share(len(labels)), 2))


def paired_difference(
    gold: Rows, ours: Sequence[Rows], theirs: Sequence[Rows], metric: Metric, seed: int = 0
) -> Interval:
    """`metric` of ours minus theirs, resampling the same examples and seeds for both. `theirs` may
    be a single run."""
    return paired_test(gold, ours, theirs, metric, seed)[0]


def paired_test(
    gold: Rows, ours: Sequence[Rows], theirs: Sequence[Rows], metric: Metric, seed: int = 0
) -> tuple[Interval, float]:
    """The same with the two-sided p of no difference: twice the share of resamples on the other
    side of zero, at least one."""
    labels, left, right = np.asarray(gold), _arrays(ours), _arrays(theirs)
    assert len(right) in (1, len(left))

    def figure(rows: Numbers, seeds: Numbers) -> float:
        pairs = ((left[s][rows], right[min(s, len(right) - 1)][rows]) for s in seeds)
        return float(np.mean([metric(labels[rows], a) - metric(labels[rows], b) for a, b in pairs]))

    draws, interval = _resample(len(labels), len(left), figure, seed)
    other_side = min(sum(d <= 0 for d in draws), sum(d >= 0 for d in draws))
    return interval, min(1.0, 2 * max(1, other_side) / len(draws))


def _arrays(runs: Sequence[Rows]) -> list[Labels]:
    return [np.asarray(run) for run in runs]


def resampled(
    rows: int, runs: int, figure: Callable[[Numbers, Numbers], float], seed: int
) -> Interval:
    """`figure` of all of `rows` examples in all of `runs` seeds, and its interval over resamples;
    it is given their numbers."""
    return _resample(rows, runs, figure, seed)[1]


def _resample(
    rows: int, runs: int, figure: Callable[[Numbers, Numbers], float], seed: int
) -> tuple[list[float], Interval]:
    """The figure of every resample, and the interval they give."""
    rng = np.random.default_rng(seed)
    every_row, every_run = np.arange(rows), np.arange(runs)
    draws = [
        figure(rng.choice(every_row, rows), rng.choice(every_run, runs)) for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return draws, Interval(
        round(figure(every_row, every_run), 2), round(float(low), 2), round(float(high), 2)
    )
