"""The ladder of baselines: every baseline and the adapter itself answer the same held-out rows.

majority; TF-IDF + logistic regression on the target rows, and on the parent's alone; TF-IDF + a
tuned linear model; a linear head on the frozen backbone's vectors; the adapter's lexical part alone
and its neural part alone; the parent zero-shot, as it is and with this recipe's language
adapters under it; LoRA on target rows only (when asked); and the adapter itself. Gain from transfer
is the adapter minus the best of those that were given the target rows alone, paired over examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.reporting.intervals import Metric, bootstrap, paired_difference
from polygraft.tasks.classification import model
from polygraft.tasks.classification.encoding import encoder_of, likeliest, predict
from polygraft.tasks.classification.fit import fit
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.metrics import label_f1, macro_f1, recall
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.run import ClassificationRun
from polygraft.tasks.classification.tfidf import majority, tfidf, tuned_tfidf
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.serving import Floats
from polygraft.training.parents import find_adapter

Predictions = list[list[str]]
"""A label for each held-out row, of every run (seed)."""
TARGET_ONLY = "target_only"
TARGET_ONLY_BASELINES = ("tfidf", "tuned_tfidf", "lexical", "head", TARGET_ONLY)


def score_baselines(
    job: ClassificationJob,
    runs: Sequence[ClassificationRun],
    target_only_runs: Sequence[ClassificationRun] | None,
    work: Path,
) -> dict[str, Any]:
    """Figures of every baseline and of the adapter (`runs`) on the held-out split; under `ladder`
    each is `{metric: {value, low, high}}`, in percent."""
    name, split = job.held_out
    predictions = _predict(job, runs, target_only_runs, work)
    ours = predictions["adapter"]
    ladder = _ladder(split.labels, predictions, job.recipe.positive)
    figures: dict[str, Any] = {
        "split": name,
        "rows": len(split),
        "ladder": ladder,
        "recall": recall(split.labels, ours),
        "over_tfidf": paired_difference(
            split.labels, ours, predictions["tuned_tfidf"], macro_f1
        ).record(),
    }
    if job.swapped_stack:
        gain = paired_difference(split.labels, predictions["exchanged"], ours, macro_f1)
        figures["gain_from_exchange"] = gain.record() | {"verdict": gain.verdict}
    if target_only_runs:
        best = max(
            (baseline for baseline in TARGET_ONLY_BASELINES if baseline in predictions),
            key=lambda baseline: ladder[baseline]["macro_f1"]["value"],
        )
        gain = paired_difference(split.labels, ours, predictions[best], macro_f1)
        figures["gain_from_transfer"] = gain.record() | {
            "verdict": gain.verdict,
            "over": best,
            **changed(split.labels, ours, predictions[best]),
        }
    return figures


def _predict(
    job: ClassificationJob,
    runs: Sequence[ClassificationRun],
    target_only_runs: Sequence[ClassificationRun] | None,
    work: Path,
) -> dict[str, Predictions]:
    """What every baseline and the adapter answer to the held-out rows, in the ladder's order."""
    _, split = job.held_out
    seeds = job.recipe.training.seeds
    drawn = seeds if job.recipe.data.shots else seeds[:1]  # without shots all draw the same rows
    predictions = {
        "majority": [majority(job.splits.train, split.texts)],
        "tfidf": [tfidf(job.train_rows(seed), split.texts) for seed in drawn],
        "tuned_tfidf": [tuned_tfidf(job.train_rows(seed), split.texts) for seed in drawn],
        "head": [fit(_bare_head(job), seed, work).predicted for seed in drawn],
    }
    if all(run.held_out.lexical is not None for run in runs):
        labels = job.splits.labels
        predictions["lexical"] = [likeliest(_lexical(run), labels) for run in runs]
        predictions["neural"] = [likeliest(run.held_out.neural, labels) for run in runs]
    if job.parent and model.knows(job.parent_labels, job.splits.labels):
        if job.parent_rows:
            known = job.parent_rows.relabelled({label: label for label in job.splits.labels})
            predictions["tfidf_zero_shot"] = [tfidf(known, split.texts)]
        parents_stack = [
            find_adapter(named.split("@")[0], job.parent / LAYOUT.recipe, job.library, "stack")
            for named in load_manifest(job.parent).stack
        ]
        predictions["zero_shot"] = [_zero_shot(job, parents_stack)]
        if job.stack:
            predictions["zero_shot_stack"] = [_zero_shot(job, job.stack)]
    if target_only_runs:
        predictions[TARGET_ONLY] = [run.predicted for run in target_only_runs]
    if job.swapped_stack:
        predictions["exchanged"] = [run.predicted_swapped for run in runs]
    predictions["adapter"] = [run.predicted for run in runs]
    return predictions


def _bare_head(job: ClassificationJob) -> ClassificationJob:
    """Strategy `head` on the target's rows alone, without a lexical part."""
    alone = job.target_only()
    changes = {"strategy": "head", "lexical": "none", "parent": None, "source": None}
    return replace(alone, recipe=alone.recipe.model_copy(update=changes))


def _lexical(run: ClassificationRun) -> Floats:
    assert run.held_out.lexical is not None
    return run.held_out.lexical


def _ladder(
    gold: Sequence[str], predictions: dict[str, Predictions], positive: str | None
) -> dict[str, dict[str, dict[str, float]]]:
    """By baseline and metric, the figure with its interval."""
    metrics: dict[str, Metric] = {"macro_f1": macro_f1}
    if positive:
        metrics[f"{positive}_f1"] = label_f1(positive)
    return {
        baseline: {
            name: bootstrap(gold, predicted, metric).record() for name, metric in metrics.items()
        }
        for baseline, predicted in predictions.items()
    }


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
