"""How a language adapter is made: LoRA on the encoder from unlabelled text, figures, goldens, card.

The figure that can be compared is the backbone's own objective: how well its frozen decoder writes
dev texts whose spans were cut, with the adapter and without. Of a run on masked tokens it also
shows what the backbone forgot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from rich.console import Console

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import load_encoder
from polygraft.tasks.language import card, model
from polygraft.tasks.language.batches import Noisy, rows_of, scoring_groups, training_groups
from polygraft.tasks.language.denoising import denoising
from polygraft.tasks.language.job import LanguageJob, prepare
from polygraft.tasks.language.manifest import GoldenVector, LanguageManifest
from polygraft.tasks.language.recipe import LanguageRecipe
from polygraft.tasks.training import TrainedTask
from polygraft.training.goldens import CANDIDATES, beginnings, rounded
from polygraft.training.loop import by_steps, only, run_loop
from polygraft.training.lora import save_lora
from polygraft.training.speed import bf16_wanted
from polygraft.training.vectors import sentence_vectors

GOLDENS = 4


@dataclass(frozen=True)
class Run:
    """What a recipe comes to: the trained reader, and its figures."""

    reader: model.Reader
    metrics: dict[str, Any]


class LanguageTraining(TrainedTask[LanguageJob, Run]):
    """See `tasks.training.TrainedTask`. There is one seed, and no ladder."""

    tags = ("language-adapter",)
    limits = card.LIMITS

    def prepare(
        self, recipe: LanguageRecipe, file: Path, backbone: Path, *, allow_leak: str | None = None
    ) -> LanguageJob:
        return prepare(recipe, file, backbone)

    def fit(self, job: LanguageJob, seed: int, work: Path, say: Console) -> Run:
        return _fit(job, seed, work)

    def best(self, runs: Sequence[Run]) -> Run:
        (only_one,) = runs
        return only_one

    def score(
        self,
        job: LanguageJob,
        runs: Sequence[Run],
        others: Mapping[str, Sequence[Run]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        return self.best(runs).metrics

    def manifest_fields(self, job: LanguageJob, run: Run) -> dict[str, Any]:
        return {"golden_vectors": _goldens(job, run.reader)}

    def save(self, run: Run, folder: Path, backbone: Path) -> None:
        save_lora(run.reader.adapted, folder, backbone)

    def introduction(self, manifest: LanguageManifest, recipe: LanguageRecipe) -> str:
        return card.introduction(manifest, recipe)

    def figures(self, metrics: dict[str, Any]) -> str:
        return card.figures_table(metrics)


TASK = LanguageTraining()


def _fit(job: LanguageJob, seed: int, work: Path) -> Run:
    options = job.recipe.training
    transformers.set_seed(seed)
    writes, can_write = options.objective == "denoise", job.start is not None
    reader = model.build(
        job.recipe, job.backbone, job.sites, job.parent, writes=can_write, seed=seed
    )
    encoder = load_encoder(job.backbone)
    tokenizer = (
        TargetTokenizer(BackboneFiles(job.backbone).decoder_tokenizer) if can_write else None
    )
    rows, dev = (
        rows_of(texts, encoder, tokenizer, job.start, options.max_length)
        for texts in (job.train, job.dev)
    )
    scored = scoring_groups(dev, 4 * options.tokens)
    train = Noisy(
        rows,
        training_groups(rows, options.steps, options.tokens, seed),
        encoder,
        writes=writes,
        seed=seed,
    )
    state = run_loop(
        reader,
        work,
        title=job.recipe.name,
        seed=seed,
        bf16=bf16_wanted(options.bf16, lambda: reader(**train[0])),
        train=train,
        dev=Noisy(dev, scored, encoder, writes=writes, seed=seed),
        collate=only,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup,
        **by_steps(options.steps, options.evaluations),
    )
    reader.eval()
    metrics = {
        "split": "dev",
        "rows": len(dev),
        "objective": options.objective,
        "dev_loss": round(float(state.best_metric or 0.0), 4),
    }
    if can_write:
        metrics["denoising"] = denoising(
            reader, Noisy(dev, scored, encoder, writes=True, seed=seed)
        )
    return Run(reader, metrics)


def _goldens(job: LanguageJob, reader: model.Reader) -> list[GoldenVector]:
    """Beginnings of dev texts (of training texts too, where those are few) whose vectors the
    adapter moves most."""
    encoder, texts = load_encoder(job.backbone), beginnings(job.dev, job.train)[:CANDIDATES]
    ours = sentence_vectors(reader.adapted, encoder, texts)
    with reader.adapted.disable_adapter():
        bare = sentence_vectors(reader.adapted, encoder, texts)
    furthest = np.argsort((ours * bare).sum(axis=1))[:GOLDENS]
    return [
        GoldenVector(text=texts[i], vector=rounded(ours[i]), bare=rounded(bare[i]))
        for i in furthest
    ]
