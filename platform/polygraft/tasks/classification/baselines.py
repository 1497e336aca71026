"""The ladder of baselines: the same held-out rows, scored by every one.

majority; TF-IDF + logistic regression on the target rows, and on the parent's alone; a linear head
on the frozen backbone's vectors; the parent zero-shot, as it is and with this recipe's language
adapters under it; LoRA on target rows only (when asked); and the adapter itself. Gain from transfer
is the adapter minus the best of those that were given the target rows alone, paired over examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.reporting.intervals import Metric, bootstrap, paired_difference
from polygraft.tasks.classification import model
from polygraft.tasks.classification.head import fit_head
from polygraft.tasks.classification.job import Job, encoder_of, predict
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.metrics import label_f1, macro_f1, recall
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.run import Run
from polygraft.tasks.classification.tfidf import majority, tfidf
from polygraft.tasks.recipe import load_recipe
from polygraft.training.parents import find_adapter

Runs = list[list[str]]
TARGET_ONLY = "target_only"
TARGET_ALONE = ("tfidf", "head", TARGET_ONLY)


def score_baselines(
    job: Job, trained: Sequence[Run], trained_alone: Sequence[Run] | None
) -> dict[str, Any]:
    """Figures of every rung on the held-out split; each rung is `{metric: {value, low, high}}`, in
    percent."""
    name, split = job.held_out
    ours, alone = [run.predicted for run in trained], [run.predicted for run in trained_alone or []]
    drawn = job.recipe.training.seeds if job.recipe.data.shots else job.recipe.training.seeds[:1]
    rungs: dict[str, Runs] = {
        "majority": [majority(job.splits.train, split.texts)],
        "tfidf": [tfidf(job.train_rows(seed), split.texts) for seed in drawn],
        "head": [fit_head(job.alone(), seed).predicted for seed in drawn],
    }
    if job.parent and job.parent_labels == job.splits.labels:
        if job.parent_rows:
            rungs["tfidf_zero_shot"] = [tfidf(job.parent_rows, split.texts)]
        rungs["zero_shot"] = [
            _zero_shot(
                job,
                [
                    find_adapter(n.split("@")[0], job.parent, "stack")
                    for n in load_manifest(job.parent).stack
                ],
            )
        ]
        if job.under:
            rungs["zero_shot_stack"] = [_zero_shot(job, job.under)]
    if alone:
        rungs[TARGET_ONLY] = alone
    if job.exchange:
        rungs["exchanged"] = [run.exchanged for run in trained]
    rungs["adapter"] = ours
    metrics: dict[str, Metric] = {"macro_f1": macro_f1}
    if job.recipe.positive:
        metrics[f"{job.recipe.positive}_f1"] = label_f1(job.recipe.positive)
    figures: dict[str, Any] = {
        "split": name,
        "rows": len(split),
        "ladder": {
            rung: {
                m: bootstrap(split.labels, runs, metric).record() for m, metric in metrics.items()
            }
            for rung, runs in rungs.items()
        },
        "recall": recall(split.labels, ours),
        "over_tfidf": paired_difference(split.labels, ours, rungs["tfidf"], macro_f1).record(),
    }
    if job.exchange:
        gain = paired_difference(split.labels, rungs["exchanged"], ours, macro_f1)
        figures["gain_from_exchange"] = gain.record() | {"verdict": gain.verdict}
    if alone:
        over = max(
            (rung for rung in TARGET_ALONE if rung in rungs),
            key=lambda rung: figures["ladder"][rung]["macro_f1"]["value"],
        )
        gain = paired_difference(split.labels, ours, rungs[over], macro_f1)
        rows = changed(split.labels, ours, rungs[over])
        figures["gain_from_transfer"] = gain.record() | {
            "verdict": gain.verdict,
            "over": over,
            **rows,
        }
    return figures


def changed(gold: Sequence[str], ours: Runs, theirs: Runs) -> dict[str, list[int]]:
    """Held-out rows that most seeds of ours get right and of theirs do not, and the other way
    round, by their place."""
    right, before = (
        np.mean(np.array(runs) == np.array(gold), axis=0) > 0.5 for runs in (ours, theirs)
    )
    return {
        "fixed": np.flatnonzero(right & ~before).tolist(),
        "broke": np.flatnonzero(before & ~right).tolist(),
    }


def score_other_heads(job: Job, classifiers: Sequence[model.Classifier]) -> dict[str, Any]:
    """Macro-F1 of each further head of a multi-task adapter on its own held-out rows."""
    found = {}
    for number, (name, splits) in enumerate(job.tasks.items()):
        split = splits.test or splits.dev
        runs = [
            predict(c, encoder_of(job), split.texts, splits.labels, c.others[number])
            for c in classifiers
        ]
        figure = bootstrap(split.labels, runs, macro_f1).record()
        found[name] = {
            "split": "test" if splits.test else "dev",
            "rows": len(split),
            "macro_f1": figure,
        }
    return found


def _zero_shot(job: Job, under: Sequence[Path]) -> list[str]:
    """The parent on top of the adapters `under`, on the child's held-out rows."""
    assert job.parent is not None
    labels = load_manifest(job.parent, ClassificationManifest).labels
    recipe = load_recipe(job.parent / LAYOUT.recipe)
    assert isinstance(recipe, ClassificationRecipe)
    classifier = model.build(
        recipe, job.backbone, job.sites, labels, None, job.parent, labels, under
    )
    return predict(classifier, encoder_of(job), job.held_out[1].texts, labels)
