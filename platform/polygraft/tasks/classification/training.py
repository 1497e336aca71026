"""How a classifier is made: its runs (see `fit`), scored beside the baselines.

Test rows are scored once, after the checkpoint was chosen on dev.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from polygraft.reporting.intervals import bootstrap
from polygraft.tasks.classification import model
from polygraft.tasks.classification.baselines import TARGET_ONLY, score_baselines, score_other_heads
from polygraft.tasks.classification.calibration import before_and_after
from polygraft.tasks.classification.card import ClassificationCard
from polygraft.tasks.classification.deciding import (
    check_decisions,
    find_decisions,
    precision_recall,
)
from polygraft.tasks.classification.encoding import encoder_of, share_vectors
from polygraft.tasks.classification.features import HASH
from polygraft.tasks.classification.fit import fit
from polygraft.tasks.classification.golden import choose_golden
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.run import ClassificationRun
from polygraft.tasks.classification.tfidf import tuned_tfidf
from polygraft.tasks.training import TrainedTask
from polygraft.training.lora import set_stack
from polygraft.transfer import forgetting

SHOTS = (10, 50, 100)  # rows a label at which the learning curve has points


class TrainedClassification(TrainedTask[ClassificationJob, ClassificationRun]):
    """See `tasks.training.TrainedTask`."""

    card = ClassificationCard()

    def fit(self, job: ClassificationJob, seed: int, work: Path, say: Console) -> ClassificationRun:
        return fit(job, seed, work)

    def fit_others(
        self, job: ClassificationJob, work: Path, say: Console
    ) -> dict[str, list[ClassificationRun]]:
        """Where the recipe transfers, the same recipe on the target's rows alone."""
        if not job.transfers:
            return {}
        alone = job.target_only()
        return {TARGET_ONLY: [fit(alone, seed, work / f"alone-{seed}") for seed in job.seeds]}

    def had_full_ladder(self, metrics: dict[str, Any]) -> bool:
        return TARGET_ONLY in metrics.get("ladder", {})

    def best(self, runs: Sequence[ClassificationRun]) -> ClassificationRun:
        return max(runs, key=lambda run: run.dev_score)

    def score(
        self,
        job: ClassificationJob,
        runs: Sequence[ClassificationRun],
        others: Mapping[str, Sequence[ClassificationRun]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        metrics = score_baselines(job, runs, others.get(TARGET_ONLY), work)
        if full_ladder:
            metrics["curve"] = _learning_curve(job, work, metrics["ladder"])
        best, (_, held_out) = self.best(runs), job.held_out
        metrics["calibration"] = before_and_after(
            held_out.labels, best.held_out, best.join, job.splits.labels
        )
        if tables := precision_recall(job.recipe, job.splits.labels, best, held_out):
            metrics["precision_recall"] = tables
        decisions = find_decisions(job.recipe, job.splits.labels, best)
        if checked := check_decisions(decisions, job.splits.labels, best, held_out):
            metrics["decisions"] = checked
        metrics["seeds"] = {str(run.seed): _seed_figures(run) for run in runs}
        if job.tasks:
            metrics["heads"] = score_other_heads(job, [run.classifier for run in runs])
        metrics["forgetting"] = forgetting.check(job, best.classifier)
        return metrics

    def manifest_fields(self, job: ClassificationJob, run: ClassificationRun) -> dict[str, Any]:
        set_stack(run.classifier.adapted, [])  # goldens are answers without the stack
        return {
            "labels": job.splits.labels,
            "heads": {name: splits.labels for name, splits in job.tasks.items()},
            "lexical": HASH if run.lexical else None,
            "window": job.recipe.training.max_length,
            "decide": find_decisions(job.recipe, job.splits.labels, run),
            "golden": choose_golden(run.classifier, run.lexical, run.join, job, encoder_of(job)),
        }

    def save(self, run: ClassificationRun, folder: Path, backbone: Path) -> None:
        model.save(run.classifier, folder, backbone, run.lexical, run.join)

    def share(self, job: ClassificationJob, run: ClassificationRun, folder: Path) -> None:
        share_vectors(job, run.seed, folder)


TASK = TrainedClassification()


def _seed_figures(run: ClassificationRun) -> dict[str, float]:
    figures = {
        "dev_macro_f1": round(run.dev_score, 2),
        "epochs": run.epochs,
        "neural_weight": round(run.join.neural, 3),
        "lexical_weight": round(run.join.lexical, 3),
    }
    if run.source_weight is not None:
        figures["source_weight"] = run.source_weight
    return figures


def _learning_curve(
    job: ClassificationJob, work: Path, ladder: dict[str, Any]
) -> dict[str, list[dict[str, float]]]:
    """Macro-F1 with its interval at no target rows, at `SHOTS` rows a label and at all, of the
    adapter and of tuned TF-IDF. The figures at none and at all are those of the `ladder`."""
    _, split = job.held_out
    most = max(Counter(job.splits.train.labels).values())
    seeds = job.recipe.training.seeds
    curve: dict[str, list[dict[str, float]]] = {"adapter": [], "tfidf": []}

    def add(name: str, shots: int, figure: dict[str, float]) -> None:
        curve[name].append({"shots": shots, **figure})

    for name, without_rows in (("adapter", "zero_shot"), ("tfidf", "tfidf_zero_shot")):
        if without_rows in ladder:
            add(name, 0, ladder[without_rows]["macro_f1"])
    for shots in SHOTS:
        if shots >= most:
            continue
        data = job.recipe.data.model_copy(update={"shots": shots})
        few = replace(job, recipe=job.recipe.model_copy(update={"data": data}))
        ours = [fit(few, seed, work / f"shots-{shots}-{seed}").predicted for seed in seeds]
        lexical = [tuned_tfidf(few.train_rows(seed), split.texts) for seed in seeds]
        add("adapter", shots, bootstrap(split.labels, ours, macro_f1).record())
        add("tfidf", shots, bootstrap(split.labels, lexical, macro_f1).record())
    add("adapter", most, ladder["adapter"]["macro_f1"])
    add("tfidf", most, ladder["tuned_tfidf"]["macro_f1"])
    return curve
