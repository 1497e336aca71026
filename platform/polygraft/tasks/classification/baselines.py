"""The ladder of baselines: every baseline and the adapter itself answer the same held-out rows.

majority; TF-IDF + logistic regression on the target rows, and on the parent's alone; TF-IDF + a
tuned linear model; a linear head on the frozen backbone's vectors, alone and beside its lexical
part; the adapter's lexical part alone and its neural part alone; the parent zero-shot, as it is and
with this recipe's language adapters under it; LoRA on target rows only (when asked); and the
adapter itself. The verdict is on the adapter minus the best of those that were given the target
rows alone, paired over examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.data.splits import Split
from polygraft.reporting.intervals import Interval, Metric, bootstrap, paired_difference
from polygraft.tasks.classification import model
from polygraft.tasks.classification.encoding import encoder_of, likeliest, predict, vectors_of
from polygraft.tasks.classification.fit import fit
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.joining import Places, places
from polygraft.tasks.classification.metrics import (
    counted_f1,
    label_f1,
    macro_f1,
    recall,
)
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.run import ClassificationRun
from polygraft.tasks.classification.tfidf import Tfidf, majority, tfidf
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.serving import Floats
from polygraft.training.parents import find_adapter
from polygraft.training.phases import phase

Predictions = list[list[str]]
"""A label for each held-out row, of every run (seed)."""
Digits = list[NDArray[np.int64]]
"""The same as places among the labels."""
TARGET_ONLY = "target_only"
TARGET_ONLY_BASELINES = ("tfidf", "tuned_tfidf", "lexical", "head", "hybrid_alone", TARGET_ONLY)


def score_baselines(
    job: ClassificationJob,
    runs: Sequence[ClassificationRun],
    target_only_runs: Sequence[ClassificationRun] | None,
    work: Path,
) -> dict[str, Any]:
    """Figures of every baseline and of the adapter (`runs`) on the held-out split; under `ladder`
    each is `{metric: {value, low, high}}`, in percent. With the verdict: `gain_from_transfer`, or
    `gain_over_baselines` where nothing was transferred; a zero-shot adapter has none."""
    name, split = job.held_out
    predictions = _predict(job, runs, target_only_runs, work)
    labels, ours = job.splits.labels, predictions["adapter"]
    gold = places(split.labels, labels)
    answers = {
        baseline: [places(run, labels) for run in predicted]
        for baseline, predicted in predictions.items()
    }
    metrics: dict[str, Metric] = {"macro_f1": counted_f1(len(labels))}
    if (positive := job.recipe.positive) is not None:
        metrics[f"{positive}_f1"] = label_f1(labels.index(positive))
    ladder = _ladder(gold, answers, metrics)

    def difference(left: str, right: str) -> Interval:
        return paired_difference(gold, answers[left], answers[right], metrics["macro_f1"])

    def gain(left: str, right: str) -> dict[str, Any]:
        interval = difference(left, right)
        return interval.record() | {"verdict": interval.verdict}

    figures: dict[str, Any] = {
        "split": name,
        "rows": len(split),
        "ladder": ladder,
        "recall": recall(split.labels, ours),
        "over_tfidf": difference("adapter", "tuned_tfidf").record(),
    }
    if "neural" in answers:
        figures["over_neural"] = difference("adapter", "neural").record()
    if job.swapped_stack:
        figures["gain_from_exchange"] = gain("exchanged", "adapter")
    if job.recipe.strategy != "zero-shot":
        best = max(
            (baseline for baseline in TARGET_ONLY_BASELINES if baseline in predictions),
            key=lambda baseline: ladder[baseline]["macro_f1"]["value"],
        )
        verdict = "gain_from_transfer" if job.transfers else "gain_over_baselines"
        rows = changed(split.labels, ours, predictions[best])
        figures[verdict] = gain("adapter", best) | {"over": best, **rows}
    return figures


def _predict(
    job: ClassificationJob,
    runs: Sequence[ClassificationRun],
    target_only_runs: Sequence[ClassificationRun] | None,
    work: Path,
) -> dict[str, Predictions]:
    """What every baseline and the adapter answer to the held-out rows, in the ladder's order."""
    _, split = job.held_out
    seeds, labels = job.recipe.training.seeds, job.splits.labels
    drawn = seeds if job.recipe.data.shots else seeds[:1]  # without shots all draw the same rows
    alone = _head_alone(job)
    texts = [text for seed in drawn for text in job.train_rows(seed).texts]
    vectors_of(alone, [*texts, *job.splits.dev.texts, *split.texts])  # under a bar of its own
    words, heads = list[Tfidf](), list[ClassificationRun]()
    zero_shot = dict[str, Predictions]()
    predictions: dict[str, Predictions] = {"majority": [majority(job.splits.train, split.texts)]}
    knows_labels = model.knows(job.parent_labels, labels)
    with phase("baselines", 4 * len(drawn) + 3 * knows_labels) as advance:
        for seed in drawn:
            words.append(Tfidf.read(job.train_rows(seed), split.texts))
            advance(1)
        for name, answer in (("tfidf", Tfidf.answers), ("tuned_tfidf", Tfidf.tuned_answers)):
            predictions[name] = []
            for read in words:
                predictions[name].append(answer(read))
                advance(1)
        for seed in drawn:
            heads.append(fit(alone, seed, work))
            advance(1)
        for name, answers in _of_parent(job, split) if knows_labels else ():
            zero_shot[name] = [answers]
            advance(1)
    predictions["head"] = [likeliest(run.held_out.neural, labels) for run in heads]
    has_lexical = all(run.held_out.lexical is not None for run in runs)
    if has_lexical:
        predictions["lexical"] = [likeliest(_lexical(run), labels) for run in runs]
        predictions["neural"] = [likeliest(run.held_out.neural, labels) for run in runs]
    is_that_itself = job.recipe.strategy == "head" and has_lexical and not job.transfers
    if job.recipe.strategy != "zero-shot" and not is_that_itself:
        predictions["hybrid_alone"] = [run.predicted for run in heads]
    predictions |= zero_shot
    if target_only_runs:
        predictions[TARGET_ONLY] = [run.predicted for run in target_only_runs]
    if job.swapped_stack:
        predictions["exchanged"] = [run.predicted_swapped for run in runs]
    predictions["adapter"] = [run.predicted for run in runs]
    return predictions


def _of_parent(job: ClassificationJob, split: Split) -> Iterator[tuple[str, list[str]]]:
    """What the parent answers to the child's held-out rows, as it is and with the child's language
    adapters under it; and TF-IDF on the parent's rows."""
    assert job.parent is not None
    if job.parent_rows:
        known = job.parent_rows.relabelled({label: label for label in job.splits.labels})
        yield "tfidf_zero_shot", tfidf(known, split.texts)
    parents_stack = [
        find_adapter(named.split("@")[0], job.parent / LAYOUT.recipe, job.library, "stack")
        for named in load_manifest(job.parent).stack
    ]
    yield "zero_shot", _zero_shot(job, parents_stack)
    if job.stack:
        yield "zero_shot_stack", _zero_shot(job, job.stack)


def _head_alone(job: ClassificationJob) -> ClassificationJob:
    """Strategy `head` with its lexical part on the target's rows alone: what takes seconds."""
    alone = job.target_only()
    changes = {"strategy": "head", "lexical": "auto", "parent": None, "source": None}
    return replace(alone, recipe=alone.recipe.model_copy(update=changes))


def _lexical(run: ClassificationRun) -> Floats:
    assert run.held_out.lexical is not None
    return run.held_out.lexical


def _ladder(
    gold: Places, answers: dict[str, Digits], metrics: dict[str, Metric]
) -> dict[str, dict[str, dict[str, float]]]:
    """By baseline and metric, the figure with its interval."""
    ladder = dict[str, dict[str, dict[str, float]]]()
    with phase("intervals", len(answers)) as advance:
        for baseline, runs in answers.items():
            ladder[baseline] = {
                name: bootstrap(gold, runs, metric).record() for name, metric in metrics.items()
            }
            advance(1)
    return ladder


def changed(gold: Sequence[str], ours: Predictions, theirs: Predictions) -> dict[str, list[int]]:
    """The positions of held-out rows that most seeds of `ours` get right and of `theirs` do not
    (`fixed`), and the other way round (`broke`)."""
    we_are_right, they_are_right = (
        np.mean(np.array(runs) == np.array(gold), axis=0) > 0.5 for runs in (ours, theirs)
    )
    return {
        "fixed": np.flatnonzero(we_are_right & ~they_are_right).tolist(),
        "broke": np.flatnonzero(they_are_right & ~we_are_right).tolist(),
    }


def score_other_heads(
    job: ClassificationJob, classifiers: Sequence[model.Classifier]
) -> dict[str, Any]:
    """Macro-F1 of each further head of a multi-task adapter on its own held-out rows."""
    figures = {}
    for number, (name, splits) in enumerate(job.tasks.items()):
        split = splits.test or splits.dev
        predicted = [
            predict(
                classifier, encoder_of(job), split.texts, splits.labels, classifier.others[number]
            )
            for classifier in classifiers
        ]
        figures[name] = {
            "split": "test" if splits.test else "dev",
            "rows": len(split),
            "macro_f1": bootstrap(split.labels, predicted, macro_f1).record(),
        }
    return figures


def _zero_shot(job: ClassificationJob, stack: Sequence[Path]) -> list[str]:
    """What the parent, on top of the adapters `stack`, answers to the child's held-out rows."""
    assert job.parent is not None
    labels = job.splits.labels
    recipe = load_recipe(job.parent / LAYOUT.recipe)
    assert isinstance(recipe, ClassificationRecipe)
    classifier = model.build(
        recipe, job.backbone, job.sites, labels, None, job.parent, job.parent_labels, stack
    )
    return predict(classifier, encoder_of(job), job.held_out[1].texts, labels)
