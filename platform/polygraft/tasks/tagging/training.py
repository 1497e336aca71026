"""How a tagger is made: its runs (see `fit`), scored beside the baselines.

Test rows are scored once, after the checkpoint was chosen on dev.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from polygraft.tasks.tagging import model
from polygraft.tasks.tagging.baselines import TARGET_ONLY, score_baselines
from polygraft.tasks.tagging.card import TaggingCard
from polygraft.tasks.tagging.features import HASH
from polygraft.tasks.tagging.fit import fit
from polygraft.tasks.tagging.golden import choose_golden
from polygraft.tasks.tagging.job import TaggingJob
from polygraft.tasks.tagging.run import TaggingRun
from polygraft.tasks.training import TrainedTask


class TrainedTagging(TrainedTask[TaggingJob, TaggingRun]):
    """See `tasks.training.TrainedTask`."""

    card = TaggingCard()

    def fit(self, job: TaggingJob, seed: int, work: Path, say: Console) -> TaggingRun:
        return fit(job, seed, work)

    def fit_others(self, job: TaggingJob, work: Path, say: Console) -> dict[str, list[TaggingRun]]:
        """Where there is a parent, the same recipe without it."""
        if job.parent is None:
            return {}
        alone = job.alone()
        return {TARGET_ONLY: [fit(alone, seed, work / f"alone-{seed}") for seed in job.seeds]}

    def had_full_ladder(self, metrics: dict[str, Any]) -> bool:
        return TARGET_ONLY in metrics.get("ladder", {})

    def best(self, runs: Sequence[TaggingRun]) -> TaggingRun:
        return max(runs, key=lambda run: run.dev_score)

    def score(
        self,
        job: TaggingJob,
        runs: Sequence[TaggingRun],
        others: Mapping[str, Sequence[TaggingRun]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        metrics = score_baselines(job, runs, others.get(TARGET_ONLY), work)
        metrics["seeds"] = {
            str(run.seed): {"dev": round(run.dev_score, 2), "epochs": run.epochs} for run in runs
        }
        return metrics

    def manifest_fields(self, job: TaggingJob, run: TaggingRun) -> dict[str, Any]:
        return {
            "labels": job.splits.tag_set.labels,
            "scheme": job.splits.tag_set.scheme,
            "lexical": HASH if run.head.lexical else None,
            "window": job.recipe.training.max_length,
            "golden_tags": choose_golden(job, run),
        }

    def save(self, run: TaggingRun, folder: Path, backbone: Path) -> None:
        model.save(run.adapted, run.head, folder, backbone)


TASK = TrainedTagging()
