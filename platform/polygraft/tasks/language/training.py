"""How a language adapter is made: LoRA on the encoder is trained on unlabelled text.

The figure that can be compared is the backbone's own objective: how well its frozen decoder writes
dev texts whose spans were cut, with the adapter and without. Of a run on masked tokens it also
shows what the backbone forgot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from rich.console import Console

from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.tasks.language import model
from polygraft.tasks.language.batches import NoisyBatches, rows_of, scoring_groups, training_groups
from polygraft.tasks.language.card import LanguageCard
from polygraft.tasks.language.denoising import denoising
from polygraft.tasks.language.job import LanguageJob
from polygraft.tasks.training import TrainedTask
from polygraft.training.golden_vectors import moved_most
from polygraft.training.loop import by_steps, run_loop, take_whole_batch
from polygraft.training.lora import save_lora
from polygraft.training.speed import bf16_wanted


@dataclass(frozen=True)
class LanguageRun:
    """What training a language adapter gives: the trained model, and its figures."""

    reader: model.Reader
    metrics: dict[str, Any]


class TrainedLanguage(TrainedTask[LanguageJob, LanguageRun]):
    """See `tasks.training.TrainedTask`. There is one seed, and no ladder of baselines."""

    card = LanguageCard()

    def fit(self, job: LanguageJob, seed: int, work: Path, say: Console) -> LanguageRun:
        return _fit(job, seed, work)

    def best(self, runs: Sequence[LanguageRun]) -> LanguageRun:
        (run,) = runs
        return run

    def score(
        self,
        job: LanguageJob,
        runs: Sequence[LanguageRun],
        others: Mapping[str, Sequence[LanguageRun]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        return self.best(runs).metrics

    def manifest_fields(self, job: LanguageJob, run: LanguageRun) -> dict[str, Any]:
        encoder = load_encoder(job.backbone)
        return {"golden_vectors": moved_most(run.reader.adapted, encoder, job.dev, job.train)}

    def save(self, run: LanguageRun, folder: Path, backbone: Path) -> None:
        save_lora(run.reader.adapted, folder, backbone)


TASK = TrainedLanguage()


def _fit(job: LanguageJob, seed: int, work: Path) -> LanguageRun:
    options = job.recipe.training
    transformers.set_seed(seed)
    writes = options.objective == "denoise"
    reader = model.build(
        job.recipe, job.backbone, job.sites, job.parent, writes=job.writes, seed=seed
    )
    encoder = load_encoder(job.backbone)
    tokenizer = load_target_tokenizer(job.backbone) if job.writes else None
    train_rows, dev_rows = (
        rows_of(texts, encoder, tokenizer, job.recipe.languages[0], options.max_length)
        for texts in (job.train, job.dev)
    )
    train_groups = training_groups(train_rows, options.steps, options.tokens, seed)
    dev_groups = scoring_groups(dev_rows, 4 * options.tokens)
    train = NoisyBatches(train_rows, train_groups, encoder, tokenizer, writes=writes, seed=seed)
    state = run_loop(
        reader,
        work,
        title=job.recipe.name,
        seed=seed,
        bf16=bf16_wanted(options.bf16, lambda: reader(**train[0])),
        train=train,
        dev=NoisyBatches(dev_rows, dev_groups, encoder, tokenizer, writes=writes, seed=seed),
        collate=take_whole_batch,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup,
        **by_steps(options.steps, options.evaluations),
    )
    reader.eval()
    metrics = {
        "split": "dev",
        "rows": len(dev_rows),
        "objective": options.objective,
        "dev_loss": round(float(state.best_metric or 0.0), 4),
    }
    if job.writes:
        batches = NoisyBatches(dev_rows, dev_groups, encoder, tokenizer, writes=True, seed=seed)
        metrics["denoising"] = denoising(reader, batches)
    return LanguageRun(reader, metrics)
