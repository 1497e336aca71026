"""The neural part trained: LoRA and a head on labelled rows, the checkpoint chosen on dev."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets
from transformers import EarlyStoppingCallback

from polygraft.architectures.text import Encoded, TextEncoder
from polygraft.data.splits import Split
from polygraft.tasks.classification import model
from polygraft.tasks.classification.encoding import SCORING_BATCH, encoder_of
from polygraft.tasks.classification.head import probe
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.source_weights import mean_weight, source_weights
from polygraft.training.batches import tensors
from polygraft.training.loop import run_loop
from polygraft.training.speed import bf16_wanted
from polygraft.transfer.mixing import Weights


@dataclass(frozen=True)
class FineTuned:
    """A trained classifier, how many epochs it took, and the mean of the source rows' weights (None
    where there are none)."""

    classifier: model.Classifier
    epochs: float
    source_weight: float | None


def fine_tune(job: ClassificationJob, rows: Split, seed: int, work: Path) -> FineTuned:
    """Train on `rows`, the source's and those of further tasks; checkpoints lie in `work`, from
    where it goes on."""
    recipe, labels = job.recipe, job.splits.labels
    options = recipe.training
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
    if not model.knows(job.parent_labels, labels):  # the head is fresh
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
        dev=_dataset(encoder, job.splits.dev, labels, windows=1),
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
    return FineTuned(classifier, round(state.epoch or 0, 2), mean_weight(source_row_weights))


def _training_set(
    job: ClassificationJob, encoder: TextEncoder, rows: Split, source_row_weights: Weights | None
) -> Dataset:
    """The target's rows, the source's with their weights, and those of further tasks, each for its
    own head."""
    labels = job.splits.labels
    parts = [_dataset(encoder, rows, labels)]
    source = job.source_rows
    if isinstance(source, Split) and source_row_weights is not None and source_row_weights.any():
        parts.append(_dataset(encoder, source, labels, source_row_weights.tolist()))
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
    windows: int | None = None,
) -> Dataset:
    """The rows with their first `windows` windows (None: all). Dev rows have one, the same each
    time the checkpoints are compared."""
    rows = [encoder.windows(text)[:windows] for text in encoder.encode(split.texts)]
    return Dataset.from_dict(
        {
            "input_ids": [[window.ids for window in row] for row in rows],
            "cases": [[window.cases for window in row] for row in rows],
            "length": [len(row[0]) for row in rows],
            "labels": [labels.index(label) for label in split.labels],
            "weights": [float(w) for w in (weights if weights is not None else [1.0] * len(split))],
            "task": [task] * len(split),
        }
    )


def _collate(rows: list[dict[str, Any]], encoder: TextEncoder) -> dict[str, torch.Tensor]:
    """A batch, of each row one window: another one each time, as all of them are read later."""
    windows = [int(torch.randint(len(r["input_ids"]), ())) for r in rows]
    padded = encoder.pad(
        [Encoded(r["input_ids"][i], r["cases"][i]) for r, i in zip(rows, windows, strict=True)]
    )
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
