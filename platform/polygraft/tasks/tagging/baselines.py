"""The ladder of baselines: every baseline and the adapter itself tag the same held-out rows.

The commonest tag of every word; a CRF on hand features; a linear head on the frozen backbone's
states under a chain; the lexical part alone under one; the parent as it is; LoRA on the target's
rows only (when asked); and the adapter itself. The verdict is on the adapter minus the best of
those that were given the target's rows alone, paired over sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.adapters.format import load_adapter
from polygraft.architectures.text import load_encoder
from polygraft.reporting.intervals import Interval, bootstrap, paired_difference
from polygraft.tasks.tagging import model
from polygraft.tasks.tagging.crf import commonest_tags, crf_tags
from polygraft.tasks.tagging.fit import bare_states, known_features, same_tags, tag_rows, train_head
from polygraft.tasks.tagging.job import TaggingJob
from polygraft.tasks.tagging.metrics import METRIC, Counts, by_label, counts_of, metric_name
from polygraft.tasks.tagging.run import TaggingRun
from polygraft.training.phases import phase

TARGET_ONLY = "target_only"
TARGET_ONLY_BASELINES = ("frequent", "crf", "head", "lexical", TARGET_ONLY)
Predictions = list[list[list[str]]]
"""A tag for each token of each held-out row, of every run (seed)."""


def score_baselines(
    job: TaggingJob,
    runs: Sequence[TaggingRun],
    target_only_runs: Sequence[TaggingRun] | None,
    work: Path,
) -> dict[str, Any]:
    """Figures of every baseline and of the adapter (`runs`) on the held-out split; under `ladder`
    each is `{metric: {value, low, high}}`, in percent. With the verdict: `gain_from_transfer`, or
    `gain_over_baselines` where nothing was transferred."""
    name, rows = job.held_out
    scheme = job.splits.tag_set.scheme
    predictions = _predict(job, runs, target_only_runs, work)
    gold = [row.tags for row in rows]
    counts = {
        rung: [counts_of(gold, run, scheme) for run in predicted]
        for rung, predicted in predictions.items()
    }
    metric, places = metric_name(scheme), np.arange(len(rows))
    ladder = {
        rung: {metric: bootstrap(places, runs_counts, METRIC).record()}
        for rung, runs_counts in counts.items()
    }
    best = max(
        (rung for rung in TARGET_ONLY_BASELINES if rung in counts),
        key=lambda rung: ladder[rung][metric]["value"],
    )
    verdict = "gain_from_transfer" if job.parent else "gain_over_baselines"
    gain = _difference(counts["adapter"], counts[best])
    labels = job.splits.tag_set.labels
    return {
        "split": name,
        "rows": len(rows),
        "metric": metric,
        "ladder": ladder,
        "over_crf": _difference(counts["adapter"], counts["crf"]).record(),
        verdict: gain.record() | {"verdict": gain.verdict, "over": best},
        "by_label": by_label(gold, runs[0].predicted, labels, scheme),
    }


def _difference(ours: Sequence[Counts], theirs: Sequence[Counts]) -> Interval:
    return paired_difference(np.arange(len(ours[0])), ours, theirs, METRIC)


def _predict(
    job: TaggingJob,
    runs: Sequence[TaggingRun],
    target_only_runs: Sequence[TaggingRun] | None,
    work: Path,
) -> dict[str, Predictions]:
    """What every baseline and the adapter answer to the held-out rows, in the ladder's order."""
    _, rows = job.held_out
    seed, scheme = job.seeds[0], job.splits.tag_set.scheme
    train = job.train_rows(seed)
    predictions = dict[str, Predictions]()
    with phase("baselines", 4) as advance:
        predictions["frequent"] = [commonest_tags(train, rows, scheme)]
        advance(1)
        predictions["crf"] = [crf_tags(train, rows, scheme)]
        advance(1)
        for name in ("head", "lexical"):
            predictions[name] = [_one_part(job, name, work / name)]
            advance(1)
    if job.parent and same_tags(job.parent, job.splits.tag_set):
        predictions["zero_shot"] = [_zero_shot(job, job.parent)]
    if target_only_runs:
        predictions[TARGET_ONLY] = [run.predicted for run in target_only_runs]
    predictions["adapter"] = [run.predicted for run in runs]
    return predictions


def _one_part(job: TaggingJob, name: str, work: Path) -> list[list[str]]:
    """The held-out rows by one part of the head alone, on the frozen backbone."""
    recipe = job.recipe.model_copy(update={"strategy": "head"})
    if job.recipe.trains_lora:
        options = recipe.training.model_copy(update={"epochs": None})
        recipe = recipe.model_copy(update={"training": options})
    job, seed, tag_set = replace(job, recipe=recipe), job.seeds[0], job.splits.tag_set
    rows, dev = job.train_rows(seed), job.splits.dev
    if name == "head":
        states = bare_states(job, rows), bare_states(job, dev)
        head = model.ChainHead(states[0][0].shape[1], tag_set, None)
    else:
        nothing = [
            [np.zeros((len(row.words), 0), np.float32) for row in some] for some in (rows, dev)
        ]
        states = nothing[0], nothing[1]
        head = model.ChainHead(0, tag_set, known_features(rows))
    encoder = load_encoder(job.backbone)
    train_head(job, model.FrozenTagger(head), rows, states, encoder, seed, work)
    return tag_rows(job, head.eval().as_served(), None, encoder)(job.held_out[1])


def _zero_shot(job: TaggingJob, parent: Path) -> list[list[str]]:
    """What the parent, as it is, answers to the child's held-out rows."""
    adapted = model.adapted_backbone(job.recipe, job.backbone, job.sites, parent).eval()
    head = load_adapter(parent).head
    return tag_rows(job, head, adapted, load_encoder(job.backbone))(job.held_out[1])
