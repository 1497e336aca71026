"""The ladder of baselines: the same held-out rows, scored by every rung.

majority; TF-IDF + logistic regression on the target rows, and on the parent's alone; a linear head on the frozen backbone's
vectors; the parent zero-shot, as it is and with this recipe's language adapters under it; LoRA on target rows only (when
asked); and the adapter itself. Gain from transfer is the adapter minus the best of those that were given the target rows
alone, paired over examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.linear_model import LogisticRegression

from polygraft import evaluate
from polygraft.adapter import LAYOUT, load_manifest
from polygraft.backbone import load_backbone
from polygraft.data import Split
from polygraft.evaluate import Metric
from polygraft.recipe import Recipe, load_recipe
from polygraft.training import model
from polygraft.training.job import Job, encoder_of, find_adapter, predict
from polygraft.training.vectors import sentence_vectors

Runs = list[list[str]]
TARGET_ALONE = ("tfidf", "head", "target_only")


def climb(job: Job, ours: Runs, alone: Runs | None) -> dict[str, Any]:
    """Figures of every rung on the held-out split; each rung is `{metric: {value, low, high}}`, in percent."""
    name, split = job.held_out
    drawn = [job.train_rows(seed) for seed in job.recipe.training.seeds] if job.recipe.data.shots else [job.splits.train]
    rungs: dict[str, Runs] = {
        "majority": [evaluate.majority(job.splits.train, split.texts)],
        "tfidf": [evaluate.tfidf(rows, split.texts) for rows in drawn],
        "head": _head(job, drawn),
    }
    if job.parent and job.parent_labels == job.splits.labels:
        if job.parent_rows:
            rungs["tfidf_zero_shot"] = [evaluate.tfidf(job.parent_rows, split.texts)]
        rungs["zero_shot"] = [
            _zero_shot(job, [find_adapter(n.split("@")[0], job.parent, "stack") for n in load_manifest(job.parent).stack])
        ]
        if job.under:
            rungs["zero_shot_stack"] = [_zero_shot(job, job.under)]
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
        over = max(
            (rung for rung in TARGET_ALONE if rung in rungs),
            key=lambda rung: figures["ladder"][rung]["macro_f1"]["value"],
        )
        gain = evaluate.paired_difference(split.labels, ours, rungs[over], evaluate.macro_f1)
        figures["gain_from_transfer"] = gain.record() | {"verdict": verdict(gain), "over": over}
    return figures


def verdict(gain: evaluate.Interval) -> str:
    """`helps` or `harms` when the 95% interval excludes zero, else `no evidence`."""
    if gain.low > 0:
        return "helps"
    return "harms" if gain.high < 0 else "no evidence"


def _head(job: Job, drawn: Sequence[Split]) -> Runs:
    """Logistic regression on the frozen backbone's sentence vectors."""
    body, encoder = load_backbone(job.backbone), encoder_of(job)
    every = dict.fromkeys(text for rows in drawn for text in rows.texts)
    place = {text: i for i, text in enumerate(every)}
    ours, theirs = (sentence_vectors(body, encoder, list(texts)) for texts in (every, job.held_out[1].texts))
    runs = []
    for rows in drawn:
        model = LogisticRegression(C=10, max_iter=2000, class_weight="balanced")
        model.fit(ours[[place[text] for text in rows.texts]], rows.labels)
        runs.append([str(label) for label in model.predict(theirs)])
    return runs


def _zero_shot(job: Job, under: Sequence[Path]) -> list[str]:
    """The parent on top of the adapters `under`, on the child's held-out rows."""
    assert job.parent is not None
    labels = load_manifest(job.parent).labels
    recipe = load_recipe(job.parent / LAYOUT.recipe)
    assert isinstance(recipe, Recipe)
    classifier = model.build(recipe, job.backbone, job.sites, labels, None, job.parent, labels, under)
    return predict(classifier, encoder_of(job), job.held_out[1].texts, labels)
