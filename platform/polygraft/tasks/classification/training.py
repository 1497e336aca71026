"""How a classifier is made: LoRA and a head on labelled rows, figures beside the baselines,
goldens, card.

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

from polygraft.architectures.text import Encoded, TextEncoder, pad
from polygraft.data.splits import Split
from polygraft.reporting.intervals import bootstrap
from polygraft.tasks.classification import card, model
from polygraft.tasks.classification.baselines import TARGET_ONLY, score_baselines, score_other_heads
from polygraft.tasks.classification.golden import choose_golden
from polygraft.tasks.classification.head import fit_head, probe
from polygraft.tasks.classification.job import SCORING_BATCH, Job, encoder_of, predict, prepare
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.run import Run
from polygraft.tasks.classification.tfidf import tfidf
from polygraft.tasks.training import TrainedTask
from polygraft.training.loop import run_loop
from polygraft.training.lora import put_under
from polygraft.training.speed import bf16_wanted
from polygraft.transfer import forgetting, parallel
from polygraft.transfer.mixing import mean_weight, source_weights

SHOTS = (10, 50, 100)


class ClassificationTraining(TrainedTask[Job, Run]):
    """See `tasks.training.TrainedTask`."""

    pipeline_tag = "text-classification"
    limits = card.LIMITS

    def prepare(
        self,
        recipe: ClassificationRecipe,
        file: Path,
        backbone: Path,
        *,
        allow_leak: str | None = None,
    ) -> Job:
        return prepare(recipe, file, backbone, allow_leak=allow_leak)

    def complete(self, job: Job, work: Path, say: Console) -> Job:
        parallel.check(job)
        return job

    def fit(self, job: Job, seed: int, work: Path, say: Console) -> Run:
        return fit(job, seed, work)

    def fit_others(self, job: Job, work: Path, say: Console) -> dict[str, list[Run]]:
        """The same recipe on the target's rows alone."""
        return (
            {TARGET_ONLY: [fit(job.alone(), seed, work / f"alone-{seed}") for seed in job.seeds]}
            if job.transfers
            else {}
        )

    def best(self, runs: Sequence[Run]) -> Run:
        return max(runs, key=lambda run: run.dev_score)

    def score(
        self,
        job: Job,
        runs: Sequence[Run],
        others: Mapping[str, Sequence[Run]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        metrics = score_baselines(job, runs, others.get(TARGET_ONLY))
        if full_ladder:
            metrics["curve"] = _learning_curve(job, work, metrics["ladder"])
        metrics["seeds"] = {str(run.seed): _seed(run) for run in runs}
        if job.tasks:
            metrics["heads"] = score_other_heads(job, [run.classifier for run in runs])
        metrics["forgetting"] = forgetting.check(job, self.best(runs).classifier)
        return metrics

    def manifest_fields(self, job: Job, run: Run) -> dict[str, Any]:
        put_under(run.classifier.adapted, [])  # goldens are its own answers, whatever it lies on
        return {
            "labels": job.splits.labels,
            "heads": {name: splits.labels for name, splits in job.tasks.items()},
            "golden": choose_golden(run.classifier, job, encoder_of(job)),
        }

    def save(self, run: Run, folder: Path, backbone: Path) -> None:
        model.save(run.classifier, folder, backbone)

    def introduction(self, manifest: ClassificationManifest, recipe: ClassificationRecipe) -> str:
        return card.introduction(manifest, recipe)

    def figures(self, metrics: dict[str, Any]) -> str:
        return card.figures_table(metrics)


TASK = ClassificationTraining()


def _seed(run: Run) -> dict[str, float]:
    found = {"dev_macro_f1": round(run.dev_score, 2), "epochs": run.epochs}
    return found if run.source_weight is None else found | {"source_weight": run.source_weight}


def _learning_curve(
    job: Job, work: Path, whole: dict[str, Any]
) -> dict[str, list[dict[str, float]]]:
    """Macro-F1 with its interval at no target rows, at `SHOTS` rows a label and at all, of the
    recipe and of TF-IDF."""
    split, most = job.held_out[1], max(Counter(job.splits.train.labels).values())
    points: dict[str, list[dict[str, float]]] = {"adapter": [], "tfidf": []}
    for rung, at_none in (("adapter", "zero_shot"), ("tfidf", "tfidf_zero_shot")):
        points[rung] += [{"shots": 0, **whole[at_none]["macro_f1"]}] if at_none in whole else []
    for shots in (s for s in SHOTS if s < most):
        data = job.recipe.data.model_copy(update={"shots": shots})
        few, seeds = (
            replace(job, recipe=job.recipe.model_copy(update={"data": data})),
            job.recipe.training.seeds,
        )
        ours = [fit(few, seed, work / f"shots-{shots}-{seed}").predicted for seed in seeds]
        theirs = [tfidf(few.train_rows(seed), split.texts) for seed in seeds]
        for rung, runs in (("adapter", ours), ("tfidf", theirs)):
            points[rung].append(
                {"shots": shots, **bootstrap(split.labels, runs, macro_f1).record()}
            )
    return {
        rung: [*some, {"shots": most, **whole[rung]["macro_f1"]}] for rung, some in points.items()
    }


def fit(job: Job, seed: int, work: Path) -> Run:
    """One run of the recipe; its checkpoints lie in `work`, from where it goes on."""
    recipe, labels = job.recipe, job.splits.labels
    options = recipe.training
    transformers.set_seed(seed)
    if recipe.strategy == "head":
        return fit_head(job, seed)
    balanced = options.class_weights == "balanced"
    rows = job.train_rows(seed)
    weights = _class_weights(rows, labels) if balanced else None
    classifier = model.build(
        recipe, job.backbone, job.sites, labels, weights, job.parent, job.parent_labels, job.under
    )
    beside = source_weights(job, rows)
    if job.parent_labels != labels:  # the head is fresh
        probe(classifier, job, rows, beside)
    encoder = encoder_of(job)
    lessons = [_dataset(encoder, rows, labels)]
    if job.source_rows and beside is not None and beside.any():
        lessons.append(_dataset(encoder, job.source_rows, labels, beside.tolist()))
    for number, (name, splits) in enumerate(job.tasks.items(), 1):
        classifier.add_head(
            name,
            len(splits.labels),
            _class_weights(splits.train, splits.labels) if balanced else None,
        )
        lessons.append(_dataset(encoder, splits.train, splits.labels, task=number))
    state = run_loop(
        classifier,
        work,
        title=f"{recipe.name} seed {seed}",
        seed=seed,
        bf16=bf16_wanted(options.bf16, lambda: classifier(**_some_rows())),
        train=concatenate_datasets(lessons),
        dev=_dataset(encoder, job.splits.dev, labels),
        collate=lambda rows: _collate(rows, encoder.pad_id),
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
    exchanged: list[str] = []
    if job.exchange:
        put_under(classifier.adapted, job.exchange)
        exchanged = predict(classifier, encoder, held_out.texts, labels)
        put_under(classifier.adapted, job.under)
    dev, epochs = state.best_metric or 0.0, round(state.epoch or 0, 2)
    return Run(seed, classifier, dev, predicted, epochs, exchanged, mean_weight(beside))


def _some_rows() -> dict[str, torch.Tensor]:
    x = torch.full((16, 32), 5)
    return {
        "input_ids": x,
        "attention_mask": torch.ones_like(x),
        "token_type_ids": torch.zeros_like(x),
    }


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
            "token_type_ids": [r.cases for r in rows],
            "length": [len(r) for r in rows],
            "labels": [labels.index(label) for label in split.labels],
            "weights": [float(w) for w in (weights if weights is not None else [1.0] * len(split))],
            "task": [task] * len(split),
        }
    )


def _collate(rows: list[dict[str, Any]], pad_id: int) -> dict[str, torch.Tensor]:
    batch = pad([Encoded(r["input_ids"], r["token_type_ids"]) for r in rows], pad_id)
    tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
    return tensors | {
        name: torch.tensor([r[name] for r in rows]) for name in ("labels", "weights", "task")
    }


def _class_weights(train: Split, labels: list[str]) -> list[float]:
    counts = Counter(train.labels)
    return [
        len(train) / (len(labels) * counts[label]) if counts[label] else 0.0 for label in labels
    ]
