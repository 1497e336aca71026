"""How an embedding adapter is made: LoRA on the encoder learns which texts mean the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from rich.console import Console

from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import TextEncoder, load_encoder
from polygraft.errors import DataError
from polygraft.tasks.embedding import model
from polygraft.tasks.embedding.baselines import score_baselines
from polygraft.tasks.embedding.batches import (
    EncodedPairs,
    PairBatches,
    numbered,
    scoring_groups,
    training_groups,
)
from polygraft.tasks.embedding.card import EmbeddingCard
from polygraft.tasks.embedding.job import EmbeddingJob
from polygraft.tasks.training import TrainedTask
from polygraft.tasks.translation.data import Pair
from polygraft.training.golden_vectors import moved_most
from polygraft.training.loop import by_steps, run_loop, take_whole_batch
from polygraft.training.lora import save_lora
from polygraft.training.speed import bf16_wanted
from polygraft.training.vectors import sentence_vectors


@dataclass(frozen=True)
class EmbeddingRun:
    """What training with one seed gives."""

    seed: int
    embedder: model.Embedder
    dev_loss: float | None


class TrainedEmbedding(TrainedTask[EmbeddingJob, EmbeddingRun]):
    """See `tasks.training.TrainedTask`."""

    card = EmbeddingCard()

    def fit(self, job: EmbeddingJob, seed: int, work: Path, say: Console) -> EmbeddingRun:
        transformers.set_seed(seed)
        embedder = model.build(job.recipe, job.backbone, job.sites, job.parent, job.dimensions)
        if job.recipe.strategy == "frozen":
            return EmbeddingRun(seed, embedder.eval(), None)
        return _fit(job, embedder, seed, work)

    def best(self, runs: Sequence[EmbeddingRun]) -> EmbeddingRun:
        return min(runs, key=lambda run: run.dev_loss or 0.0)

    def score(
        self,
        job: EmbeddingJob,
        runs: Sequence[EmbeddingRun],
        others: Mapping[str, Sequence[EmbeddingRun]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        metrics = score_baselines(job, [run.embedder for run in runs])
        if job.recipe.strategy == "lora":
            metrics["seeds"] = {
                str(run.seed): {"dev_loss": round(run.dev_loss or 0.0, 4)} for run in runs
            }
        return metrics

    def manifest_fields(self, job: EmbeddingJob, run: EmbeddingRun) -> dict[str, Any]:
        dev, train = (
            [text for pair in pairs for text in (pair.target, pair.source)]
            for pairs in (job.pairs.dev, job.pairs.train)
        )
        encoder = load_encoder(job.backbone)
        return {
            "trained": job.recipe.strategy == "lora",
            "dimensions": job.dimensions,
            "golden_vectors": moved_most(run.embedder.adapted, encoder, dev, train),
        }

    def save(self, run: EmbeddingRun, folder: Path, backbone: Path) -> None:
        save_lora(run.embedder.adapted, folder, backbone)


TASK = TrainedEmbedding()


def _fit(job: EmbeddingJob, embedder: model.Embedder, seed: int, work: Path) -> EmbeddingRun:
    options, encoder = job.recipe.training, load_encoder(job.backbone)
    train_pairs, dev_pairs = (
        _encoded(pairs, encoder, job.backbone, options.max_length)
        for pairs in (job.pairs.train, job.pairs.dev)
    )
    if min(len(train_pairs), len(dev_pairs)) < 2:
        raise DataError(
            f"data of {job.recipe.name}",
            [
                f"{len(train_pairs)} pairs of train and {len(dev_pairs)} of dev have at most "
                f"{options.max_length} tokens a side; two of each are the least: give more, or a "
                "higher training.max_length"
            ],
        )
    train, dev = (
        PairBatches(pairs, groups, encoder, anchored=options.anchored)
        for pairs, groups in (
            (train_pairs, training_groups(train_pairs, options, seed)),
            (dev_pairs, scoring_groups(dev_pairs, options.pairs)),
        )
    )
    state = run_loop(
        embedder,
        work,
        title=f"{job.recipe.name} seed {seed}",
        seed=seed,
        bf16=bf16_wanted(options.bf16, lambda: embedder(**train[0])),
        train=train,
        dev=dev,
        collate=take_whole_batch,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup,
        label_names=["wanted"],
        **by_steps(options.steps, options.evaluations),
    )
    return EmbeddingRun(seed, embedder.eval(), float(state.best_metric or 0.0))


def _encoded(
    pairs: Sequence[Pair], encoder: TextEncoder, backbone: Path, max_length: int
) -> EncodedPairs:
    """The pairs that are not too long, with the bare backbone's vectors of their first sides."""
    sides = [encoder.encode([getattr(p, side) for p in pairs]) for side in ("source", "target")]
    kept = [
        i for i, both in enumerate(zip(*sides, strict=True)) if max(map(len, both)) <= max_length
    ]
    sources, targets = ([side[i] for i in kept] for side in sides)
    texts = [pairs[i].source for i in kept]
    bare = load_backbone(backbone).eval()
    anchors = (
        sentence_vectors(bare, encoder, texts)
        if texts
        else np.zeros((0, bare.config.hidden_size), np.float32)
    )
    return EncodedPairs(
        sources,
        targets,
        anchors,
        numbered([pairs[i] for i in kept]),
        np.array([pairs[i].weight for i in kept]),
    )
