"""Figures of a study, computed from what its runs answered; nothing is trained here.

Gain from transfer is the source-then-target adapter minus the best of what had the target's rows
alone, with a paired 95% interval over rows and seeds. The verdicts of all targets together are
corrected by Holm's method (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from polygraft.reporting.intervals import Metric, bootstrap, paired_test

Digits = NDArray[np.int64]
LADDER = (
    "majority",
    "tfidf",
    "head",
    "lora",
    "tfidf_zero_shot",
    "head_zero_shot",
    "zero_shot",
    "stack_kept",
    "stack",
    "arithmetic",
    "head_mixed",
    "parent",
)
TARGET_ALONE = ("tfidf", "head", "lora")
FEW = ("few_tfidf", "few_head", "few_head_mixed", "few_parent")
LEVEL, TRIALS, TRIAL_SEEDS = 0.05, 10, 3


def counted_f1(labels: int) -> Metric:
    """`macro_f1` for rows given as numbers below `labels`, many times as fast: it is asked for a
    million times."""

    def metric(gold: Any, said: Any) -> float:
        counts = np.bincount(gold * labels + said, minlength=labels * labels).reshape(
            labels, labels
        )
        total, hits = counts.sum(axis=0) + counts.sum(axis=1), np.diag(counts)
        there = counts.sum(axis=1) > 0
        return 100 * float(np.mean(2 * hits[there] / total[there]))

    return metric


def figures_of(families: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Every target's ladder, gains and few-shot figures, verdicts corrected over all targets, and
    the guard's false alarms. `families` are the records of `runs.FamilyRecord` by name."""
    every = [
        (name, record, language) for name, record in families.items() for language in record["gold"]
    ]
    targets = {f"{name}/{language}": _target(record, language) for name, record, language in every}
    for gain in (
        "gain_from_transfer",
        "gain_from_stack",
        "gain_from_arithmetic",
        "few_over_tfidf",
        "few_head_over_tfidf",
    ):
        _correct([found[gain] for found in targets.values() if gain in found])
    return {"targets": targets, "false_alarms": _false_alarms(families)}


def _target(record: dict[str, Any], language: str) -> dict[str, Any]:
    gold, metric = _digits(record["gold"][language]), counted_f1(len(record["labels"]))
    runs = {rung: _runs(record, language, rung) for rung in (*LADDER, *FEW)}
    found: dict[str, Any] = {"rows": len(gold)}
    found["ladder"] = {
        rung: bootstrap(gold, made, metric).record() | {"seeds": len(made)}
        for rung, made in runs.items()
        if made
    }
    for rung, made in runs.items():
        if len(made) > 1:
            scores = [metric(gold, one) for one in made]
            found["ladder"][rung] |= {
                "sd": round(float(np.std(scores, ddof=1)), 2),
                "worst": round(min(scores), 2),
            }
    over = max(
        (rung for rung in TARGET_ALONE if runs[rung]),
        key=lambda rung: found["ladder"][rung]["value"],
        default=None,
    )
    pairs = {
        "gain_from_transfer": ("parent", over),
        "gain_from_stack": ("stack", "zero_shot"),
        "gain_from_arithmetic": ("arithmetic", "zero_shot"),
        "few_over_tfidf": ("few_parent", "few_tfidf"),
        "few_head_over_tfidf": ("few_head_mixed", "few_tfidf"),
    }
    for name, (ours, theirs) in pairs.items():
        if theirs and runs[ours] and len(runs[theirs]) in (1, len(runs[ours])):
            found[name] = _compared(gold, runs[ours], runs[theirs], metric) | {"over": theirs}
    return found


def _compared(
    gold: Digits, ours: list[Digits], theirs: list[Digits], metric: Metric
) -> dict[str, Any]:
    interval, p = paired_test(gold, ours, theirs, metric)
    return interval.record() | {"p": p, "verdict": interval.verdict}


def _correct(gains: Sequence[dict[str, Any]]) -> None:
    """Add `holm`: the verdict that stays when all of these were tested together."""
    if gains:
        stays, *_ = multipletests([gain["p"] for gain in gains], LEVEL, method="holm")
        for gain, kept in zip(gains, stays, strict=True):
            gain["holm"] = gain["verdict"] if kept else "no evidence"


def _false_alarms(families: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How often the verdict sees a difference where there is none: both sides are seeds of one and
    the same rung, drawn apart, on resampled rows."""
    rng, verdicts = np.random.default_rng(0), list[str]()
    for record in families.values():
        metric = counted_f1(len(record["labels"]))
        for language in record["gold"]:
            gold = _digits(record["gold"][language])
            for rung in FEW:
                runs = _runs(record, language, rung)
                if len(runs) < 2 * TRIAL_SEEDS:
                    continue
                for _ in range(TRIALS):
                    rows, order = rng.choice(len(gold), len(gold)), rng.permutation(len(runs))
                    ours, theirs = (
                        [runs[i][rows] for i in order[k : k + TRIAL_SEEDS]]
                        for k in (0, TRIAL_SEEDS)
                    )
                    verdicts.append(_compared(gold[rows], ours, theirs, metric)["verdict"])
    counts = {verdict: verdicts.count(verdict) for verdict in ("helps", "no evidence", "harms")}
    return {
        "trials": len(verdicts),
        **counts,
        "refused": round(counts["harms"] / max(1, len(verdicts)), 4),
    }


def _runs(record: dict[str, Any], language: str, rung: str) -> list[Digits]:
    """Answers of every seed, by seed."""
    prefix = f"{language}/{rung}/"
    made = {
        int(key.removeprefix(prefix)): value
        for key, value in record["answers"].items()
        if key.startswith(prefix)
    }
    return [_digits(made[seed]) for seed in sorted(made)]


def _digits(answers: str) -> Digits:
    return np.frombuffer(answers.encode(), np.uint8).astype(np.int64) - ord("0")
