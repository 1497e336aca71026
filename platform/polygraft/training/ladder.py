"""The ladder of baselines: the same held-out rows, scored by every rung.

majority; TF-IDF + logistic regression on the target rows; the parent zero-shot; LoRA on target rows only (when asked);
and the adapter itself. Gain from transfer is paired over examples.
"""

from __future__ import annotations

from typing import Any

from polygraft import evaluate
from polygraft.adapter import LAYOUT, load_manifest
from polygraft.evaluate import Metric
from polygraft.recipe import Recipe, load_recipe
from polygraft.training import model
from polygraft.training.job import Job, encoder_of, predict

Runs = list[list[str]]


def climb(job: Job, ours: Runs, alone: Runs | None) -> dict[str, Any]:
    """Figures of every rung on the held-out split; each rung is `{metric: {value, low, high}}`, in percent."""
    name, split = job.held_out
    rungs: dict[str, Runs] = {
        "majority": [evaluate.majority(job.splits.train, split.texts)],
        "tfidf": [evaluate.tfidf(job.splits.train, split.texts)],
    }
    if job.parent and job.parent_labels == job.splits.labels:
        rungs["zero_shot"] = [_zero_shot(job)]
    if alone:
        rungs["target_only"] = alone
    rungs["adapter"] = ours
    metrics: dict[str, Metric] = {"macro_f1": evaluate.macro_f1}
    if job.recipe.positive:
        metrics[f"{job.recipe.positive}_f1"] = evaluate.label_f1(job.recipe.positive)
    figures: dict[str, Any] = {
        "split": name,
        "rows": len(split),
        "ladder": {
            rung: {m: evaluate.bootstrap(split.labels, runs, metric).record() for m, metric in metrics.items()}
            for rung, runs in rungs.items()
        },
        "recall": evaluate.recall(split.labels, ours),
        "over_tfidf": evaluate.paired_difference(split.labels, ours, rungs["tfidf"], evaluate.macro_f1).record(),
    }
    if alone:
        gain = evaluate.paired_difference(split.labels, ours, alone, evaluate.macro_f1)
        figures["gain_from_transfer"] = gain.record() | {"verdict": verdict(gain)}
    return figures


def verdict(gain: evaluate.Interval) -> str:
    """`helps` or `harms` when the 95% interval excludes zero, else `no evidence`."""
    if gain.low > 0:
        return "helps"
    return "harms" if gain.high < 0 else "no evidence"


def _zero_shot(job: Job) -> list[str]:
    """The parent as it is, on the child's held-out rows."""
    assert job.parent is not None
    labels = load_manifest(job.parent).labels
    recipe = load_recipe(job.parent / LAYOUT.recipe)
    assert isinstance(recipe, Recipe)
    classifier = model.build(recipe, job.backbone, job.sites, labels, None, job.parent, labels)
    return predict(classifier, encoder_of(job), job.held_out[1].texts, labels)
