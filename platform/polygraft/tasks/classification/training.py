"""How a classifier is made: LoRA and a head are trained on labelled rows, and scored beside the
baselines.

Test rows are scored once, after the checkpoint was chosen on dev.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset, concatenate_datasets
from rich.console import Console
from transformers import EarlyStoppingCallback

from polygraft.architectures.text import Encoded, TextEncoder
from polygraft.data.splits import Split
from polygraft.reporting.intervals import bootstrap
from polygraft.tasks.classification import model
from polygraft.tasks.classification.baselines import TARGET_ONLY, score_baselines, score_other_heads
from polygraft.tasks.classification.card import ClassificationCard
from polygraft.tasks.classification.golden import choose_golden
from polygraft.tasks.classification.head import fit_head, probe
from polygraft.tasks.classification.job import (
    SCORING_BATCH,
    ClassificationJob,
    encoder_of,
    predict,
    prepare,
)
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.run import ClassificationRun
from polygraft.tasks.classification.tfidf import tfidf
from polygraft.tasks.training import TrainedTask
from polygraft.training.batches import tensors
from polygraft.training.loop import run_loop
from polygraft.training.lora import set_stack
from polygraft.training.speed import bf16_wanted
from polygraft.transfer import forgetting, parallel
from polygraft.transfer.mixing import Weights, mean_weight, source_weights

SHOTS = (10, 50, 100)  # rows a label at which the learning curve has points


class TrainedClassification(TrainedTask[ClassificationJob, ClassificationRun]):
    """See `tasks.training.TrainedTask`."""

    card = ClassificationCard()

    def prepare(
        self,
        recipe: ClassificationRecipe,
        file: Path,
        backbone: Path,
        *,
        allow_leak: str | None = None,
    ) -> ClassificationJob:
        return prepare(recipe, file, backbone, allow_leak=allow_leak)

    def complete(self, job: ClassificationJob, work: Path, say: Console) -> ClassificationJob:
        parallel.check(job)
        return job

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
        metrics = score_baselines(job, runs, others.get(TARGET_ONLY))
        if full_ladder:
            metrics["curve"] = _learning_curve(job, work, metrics["ladder"])
        metrics["seeds"] = {str(run.seed): _seed_figures(run) for run in runs}
        if job.tasks:
            metrics["heads"] = score_other_heads(job, [run.classifier for run in runs])
        metrics["forgetting"] = forgetting.check(job, self.best(runs).classifier)
        return metrics

    def manifest_fields(self, job: ClassificationJob, run: ClassificationRun) -> dict[str, Any]:
        set_stack(run.classifier.adapted, [])  # goldens are answers without the stack
        return {
            "labels": job.splits.labels,
            "heads": {name: splits.labels for name, splits in job.tasks.items()},
            "golden": choose_golden(run.classifier, job, encoder_of(job)),
        }

    def save(self, run: ClassificationRun, folder: Path, backbone: Path) -> None:
        model.save(run.classifier, folder, backbone)


TASK = TrainedClassification()


def _seed_figures(run: ClassificationRun) -> dict[str, float]:
    figures = {"dev_macro_f1": round(run.dev_score, 2), "epochs": run.epochs}
    if run.source_weight is not None:
        figures["source_weight"] = run.source_weight
    return figures


def _learning_curve(
    job: ClassificationJob, work: Path, ladder: dict[str, Any]
) -> dict[str, list[dict[str, float]]]:
    """Macro-F1 with its interval at no target rows, at `SHOTS` rows a label and at all, of the
    adapter and of TF-IDF. The figures at none and at all are those of the `ladder`."""
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
        lexical = [tfidf(few.train_rows(seed), split.texts) for seed in seeds]
        add("adapter", shots, bootstrap(split.labels, ours, macro_f1).record())
        add("tfidf", shots, bootstrap(split.labels, lexical, macro_f1).record())
    for name in curve:
        add(name, most, ladder[name]["macro_f1"])
    return curve


def fit(job: ClassificationJob, seed: int, work: Path) -> ClassificationRun:
    """One run of the recipe; its checkpoints lie in `work`, from where it goes on."""
    recipe, labels = job.recipe, job.splits.labels
    options = recipe.training
    transformers.set_seed(seed)
    if recipe.strategy == "head":
        return fit_head(job, seed)
    rows = job.train_rows(seed)
    classifier = model.build(
        recipe,
        job.backbone,
        job.sites,
        labels,
        _class_weights(job, rows, labels),
        job.parent,
        job.parent_labels,
        job.stack,
    )
    source_row_weights = source_weights(job, rows)
    if job.parent_labels != labels:  # the head is fresh
        probe(classifier, job, rows, source_row_weights)
    for name, splits in job.tasks.items():
        class_weights = _class_weights(job, splits.train, splits.labels)
        classifier.add_head(name, len(splits.labels), class_weights)
    encoder = encoder_of(job)
    state = run_loop(
        classifier,
        work,
        title=f"{recipe.name} seed {seed}",
        seed=seed,
        bf16=bf16_wanted(options.bf16, lambda: classifier(**_dummy_batch(encoder))),
        train=_training_set(job, encoder, rows, source_row_weights),
        dev=_dataset(encoder, job.splits.dev, labels),
        collate=lambda rows: _collate(rows, encoder),
        compute_metrics=lambda p: {"macro_f1": macro_f1(p.label_ids, p.predictions.argmax(-1))},
        callbacks=[EarlyStoppingCallback(options.patience)],
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=SCORING_BATCH,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        metric_for_best_model="macro_f1",
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        report_to=options.report_to or "none",
    )
    _, held_out = job.held_out
    predicted = predict(classifier, encoder, held_out.texts, labels)
    predicted_swapped: list[str] = []
    if job.swapped_stack:
        set_stack(classifier.adapted, job.swapped_stack)
        predicted_swapped = predict(classifier, encoder, held_out.texts, labels)
        set_stack(classifier.adapted, job.stack)
    return ClassificationRun(
        seed=seed,
        classifier=classifier,
        dev_score=state.best_metric or 0.0,
        predicted=predicted,
        epochs=round(state.epoch or 0, 2),
        predicted_swapped=predicted_swapped,
        source_weight=mean_weight(source_row_weights),
    )


def _training_set(
    job: ClassificationJob, encoder: TextEncoder, rows: Split, source_row_weights: Weights | None
) -> Dataset:
    """The target's rows, the source's with their weights, and those of further tasks, each for its
    own head."""
    labels = job.splits.labels
    parts = [_dataset(encoder, rows, labels)]
    if job.source_rows and source_row_weights is not None and source_row_weights.any():
        parts.append(_dataset(encoder, job.source_rows, labels, source_row_weights.tolist()))
    for number, splits in enumerate(job.tasks.values(), 1):
        parts.append(_dataset(encoder, splits.train, splits.labels, task=number))
    return concatenate_datasets(parts)


def _dummy_batch(encoder: TextEncoder) -> dict[str, torch.Tensor]:
    """16 rows of 32 tokens, to time a forward pass with."""
    return tensors(encoder.pad([Encoded([5] * 32, [0] * 32)] * 16))


def _dataset(
    encoder: TextEncoder,
    split: Split,
    labels: list[str],
    weights: Sequence[float] | None = None,
    task: int = 0,
) -> Dataset:
    rows = encoder.encode(split.texts)
    return Dataset.from_dict(
        {
            "input_ids": [r.ids for r in rows],
            "cases": [r.cases for r in rows],
            "length": [len(r) for r in rows],
            "labels": [labels.index(label) for label in split.labels],
            "weights": [float(w) for w in (weights if weights is not None else [1.0] * len(split))],
            "task": [task] * len(split),
        }
    )


def _collate(rows: list[dict[str, Any]], encoder: TextEncoder) -> dict[str, torch.Tensor]:
    padded = encoder.pad([Encoded(r["input_ids"], r["cases"]) for r in rows])
    return tensors(padded) | {
        name: torch.tensor([r[name] for r in rows]) for name in ("labels", "weights", "task")
    }


def _class_weights(job: ClassificationJob, train: Split, labels: list[str]) -> list[float] | None:
    """Each label's weight in the loss, inverse to its frequency in `train`; None where the recipe
    wants none."""
    if job.recipe.training.class_weights != "balanced":
        return None
    counts = Counter(train.labels)
    return [
        len(train) / (len(labels) * counts[label]) if counts[label] else 0.0 for label in labels
    ]
