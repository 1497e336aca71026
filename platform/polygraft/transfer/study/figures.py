"""Figures of a study, computed from what its runs answered; nothing is trained here.

Gain from transfer is the hybrid adapter on source and target rows minus the best of what had the
target's rows alone, with a paired 95% interval over rows and seeds. The verdicts of all targets
together are corrected by Holm's method (Holm 1979). The interval of a mean gain is over targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from polygraft.reporting.intervals import Metric, bootstrap, paired_test, resampled
from polygraft.tasks.classification.metrics import counted_f1

Digits = NDArray[np.int64]
METHODS = (
    "majority",
    "tfidf",
    "tuned_tfidf",
    "lexical",
    "head",
    "lora",
    "hybrid_alone",
    "tfidf_zero_shot",
    "head_zero_shot",
    "zero_shot",
    "stack_kept",
    "stack",
    "arithmetic",
    "head_mixed",
    "parent",
    "hybrid",
)
TARGET_ONLY = ("tfidf", "tuned_tfidf", "lexical", "head", "lora", "hybrid_alone")
FEW_SHOT = (
    "few_tfidf",
    "few_tuned_tfidf",
    "few_lexical",
    "few_head",
    "few_hybrid_alone",
    "few_head_mixed",
    "few_parent",
    "few_hybrid",
)
GAINS = {  # the method that transfers, and what it is compared with; None: the best of TARGET_ONLY
    "over_tfidf": ("hybrid", "tuned_tfidf"),
    "gain_from_transfer": ("hybrid", None),
    "gain_of_lora": ("parent", None),
    "gain_from_stack": ("stack", "zero_shot"),
    "gain_from_arithmetic": ("arithmetic", "zero_shot"),
    "few_over_tfidf": ("few_hybrid", "few_tuned_tfidf"),
    "few_head_over_tfidf": ("few_head_mixed", "few_tuned_tfidf"),
    "few_lora_over_tfidf": ("few_parent", "few_tuned_tfidf"),
}
LEVEL, TRIALS, TRIAL_SEEDS = 0.05, 10, 3


def figures_of(families: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Every target's ladder, gains and few-shot figures, verdicts corrected over all targets, and
    the guard's false alarms. `families` are the records of `runs.FamilyRecord` by name."""
    targets = {
        f"{name}/{language}": _target(record, language)
        for name, record in families.items()
        for language in record["gold"]
    }
    for gain in GAINS:
        _correct([figures[gain] for figures in targets.values() if gain in figures])
    return {
        "targets": targets,
        "means": _means(targets),
        "false_alarms": _false_alarms(families),
    }


def _means(targets: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every gain as the mean over targets, its interval over resampled targets, and how many
    targets it helps and harms when all are tested together."""
    means = dict[str, dict[str, Any]]()
    for gain in GAINS:
        found = [figures[gain] for figures in targets.values() if gain in figures]
        if len(found) < 2:
            continue
        values = np.array([one["value"] for one in found])
        mean = resampled(len(found), 1, partial(_mean_of, values), 0)
        verdicts = [one["holm"] for one in found]
        means[gain] = mean.record() | {
            "targets": len(found),
            "helps": verdicts.count("helps"),
            "harms": verdicts.count("harms"),
        }
    return means


def _mean_of(values: NDArray[np.float64], chosen: Any, _: Any) -> float:
    return float(values[chosen].mean())


def _target(record: dict[str, Any], language: str) -> dict[str, Any]:
    """A target's figures of every method that was run, and its gains."""
    gold, metric = _digits(record["gold"][language]), counted_f1(len(record["labels"]))
    answers = {
        method: seeds
        for method in (*METHODS, *FEW_SHOT)
        if (seeds := _answers(record, language, method))
    }
    ladder = {method: _figure(gold, seeds, metric) for method, seeds in answers.items()}
    best_target_only = max(
        (method for method in TARGET_ONLY if method in ladder),
        key=lambda method: ladder[method]["value"],
        default=None,
    )
    figures: dict[str, Any] = {"rows": len(gold), "ladder": ladder}
    for gain, (ours, baseline) in GAINS.items():
        theirs = baseline or best_target_only
        if ours not in answers or theirs not in answers:
            continue
        if len(answers[theirs]) in (1, len(answers[ours])):
            compared = _compare(gold, answers[ours], answers[theirs], metric)
            figures[gain] = compared | {"over": theirs}
    return figures


def _figure(gold: Digits, seeds: list[Digits], metric: Metric) -> dict[str, Any]:
    """The mean over seeds with its interval; of several seeds also their spread and the worst."""
    figure = bootstrap(gold, seeds, metric).record() | {"seeds": len(seeds)}
    if len(seeds) > 1:
        scores = [metric(gold, predicted) for predicted in seeds]
        figure["sd"] = round(float(np.std(scores, ddof=1)), 2)
        figure["worst"] = round(min(scores), 2)
    return figure


def _compare(
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
    the same method, drawn apart, on resampled rows."""
    rng, verdicts = np.random.default_rng(0), list[str]()
    for record in families.values():
        metric = counted_f1(len(record["labels"]))
        for language in record["gold"]:
            gold = _digits(record["gold"][language])
            for method in FEW_SHOT:
                seeds = _answers(record, language, method)
                if len(seeds) >= 2 * TRIAL_SEEDS:
                    verdicts += [_trial(gold, seeds, metric, rng) for _ in range(TRIALS)]
    counts = {verdict: verdicts.count(verdict) for verdict in ("helps", "no evidence", "harms")}
    return {
        "trials": len(verdicts),
        **counts,
        "refused": round(counts["harms"] / max(1, len(verdicts)), 4),
    }


def _trial(gold: Digits, seeds: list[Digits], metric: Metric, rng: np.random.Generator) -> str:
    """The verdict on two samples of the seeds of one method."""
    rows, order = rng.choice(len(gold), len(gold)), rng.permutation(len(seeds))
    ours = [seeds[i][rows] for i in order[:TRIAL_SEEDS]]
    theirs = [seeds[i][rows] for i in order[TRIAL_SEEDS : 2 * TRIAL_SEEDS]]
    return str(_compare(gold[rows], ours, theirs, metric)["verdict"])


def _answers(record: dict[str, Any], language: str, method: str) -> list[Digits]:
    """A method's answers to the test rows, in the order of its seeds."""
    prefix = f"{language}/{method}/"
    by_seed = {
        int(key.removeprefix(prefix)): answers
        for key, answers in record["answers"].items()
        if key.startswith(prefix)
    }
    return [_digits(by_seed[seed]) for seed in sorted(by_seed)]


def _digits(answers: str) -> Digits:
    """The digits of a string as numbers: each is a label's position."""
    return np.frombuffer(answers.encode(), np.uint8).astype(np.int64) - ord("0")
