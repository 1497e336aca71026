"""`polygraft train`: recipe -> data -> LoRA and head -> adapter folder with figures, golden and card.

transformers' `Trainer` does the loop (on accelerate), peft the LoRA. Test rows are scored once, after the checkpoint
was chosen on dev. Does not: export, serve, or decide whether an adapter is promoted.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset, concatenate_datasets
from rich.console import Console
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments

from polygraft.adapters.format import HASHED, Manifest, load_manifest, sha256
from polygraft.architectures.folder import encoder_part, fingerprint
from polygraft.architectures.text import Encoded, TextEncoder, pad
from polygraft.data.splits import Split
from polygraft.reporting.intervals import bootstrap
from polygraft.tasks.classification import baselines as ladder
from polygraft.tasks.classification import model
from polygraft.tasks.classification.card import write_card
from polygraft.tasks.classification.golden import choose_golden
from polygraft.tasks.classification.head import fit_head, probe
from polygraft.tasks.classification.job import SCORING_BATCH, Job, encoder_of, predict
from polygraft.tasks.classification.manifest import GoldenLogits
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.run import Run
from polygraft.tasks.classification.tfidf import tfidf
from polygraft.training.finish import finish, made_with
from polygraft.training.lora import put_under
from polygraft.training.progress import RichProgress
from polygraft.training.speed import bf16_wanted
from polygraft.transfer import forgetting, parallel
from polygraft.transfer.mixing import mean_weight, source_weights

SHOTS = (10, 50, 100)


def train(job: Job, output: Path, *, full_ladder: bool = False, say: Console | None = None) -> Manifest:
    """Train every seed, keep the one best on dev, and publish it to `output`. Returns its manifest.

    A killed run is taken up again from the last epoch's checkpoint, kept in `output/.training` until the end;
    one of another recipe or other data is not.
    `full_ladder` also trains the same recipe without its parent, for the gain from transfer, and on few rows a label, for the
    learning curve.
    """
    say = say or Console(stderr=True)
    started = time.monotonic()
    parallel.check(job)
    work = output / ".training" / job.key
    work.mkdir(parents=True, exist_ok=True)
    runs = [train_seed(job, seed, work / f"seed-{seed}") for seed in job.recipe.training.seeds]
    best = max(runs, key=lambda run: run.dev_score)
    alone = None
    if full_ladder and job.transfers:
        alone = [train_seed(job.alone(), seed, work / f"alone-{seed}") for seed in job.recipe.training.seeds]
    say.print("scoring baselines")
    metrics = ladder.climb(job, runs, alone)
    if full_ladder:
        metrics["curve"] = _learning_curve(job, work, metrics["ladder"])
    metrics["seeds"] = {str(run.seed): _seed(run) for run in runs}
    if job.tasks:
        metrics["heads"] = ladder.other_heads(job, [run.classifier for run in runs])
    metrics["forgetting"] = forgetting.check(job, best.classifier)
    metrics["leaks"] = job.splits.leaks
    metrics["made_with"] = made_with(started)
    put_under(best.classifier.adapted, [])  # goldens are its own answers, whatever it lies on
    golden = choose_golden(best.classifier, job, encoder_of(job))
    manifest = finish(
        output, job.file, lambda folder: model.save(best.classifier, folder, job.backbone),
        lambda folder: _manifest(job, folder, metrics, golden), lambda made, file: write_card(made, job.recipe, file),
    )  # fmt: skip
    shutil.rmtree(work.parent)
    return manifest


def _seed(run: Run) -> dict[str, float]:
    found = {"dev_macro_f1": round(run.dev_score, 2), "epochs": run.epochs}
    return found if run.source_weight is None else found | {"source_weight": run.source_weight}


def _learning_curve(job: Job, work: Path, whole: dict[str, Any]) -> dict[str, list[dict[str, float]]]:
    """Macro-F1 with its interval at no target rows, at `SHOTS` rows a label and at all, of the recipe and of TF-IDF."""
    split, most = job.held_out[1], max(Counter(job.splits.train.labels).values())
    points: dict[str, list[dict[str, float]]] = {"adapter": [], "tfidf": []}
    for rung, at_none in (("adapter", "zero_shot"), ("tfidf", "tfidf_zero_shot")):
        points[rung] += [{"shots": 0, **whole[at_none]["macro_f1"]}] if at_none in whole else []
    for shots in (s for s in SHOTS if s < most):
        data = job.recipe.data.model_copy(update={"shots": shots})
        few, seeds = replace(job, recipe=job.recipe.model_copy(update={"data": data})), job.recipe.training.seeds
        ours = [train_seed(few, seed, work / f"shots-{shots}-{seed}").predicted for seed in seeds]
        theirs = [tfidf(few.train_rows(seed), split.texts) for seed in seeds]
        for rung, runs in (("adapter", ours), ("tfidf", theirs)):
            points[rung].append({"shots": shots, **bootstrap(split.labels, runs, macro_f1).record()})
    return {rung: [*some, {"shots": most, **whole[rung]["macro_f1"]}] for rung, some in points.items()}


def train_seed(job: Job, seed: int, work: Path) -> Run:
    """One run of the recipe; its checkpoints lie in `work`, from where it goes on."""
    recipe, labels = job.recipe, job.splits.labels
    options = recipe.training
    transformers.set_seed(seed)
    if recipe.strategy == "head":
        return fit_head(job, seed)
    balanced = options.class_weights == "balanced"
    rows = job.train_rows(seed)
    weights = _class_weights(rows, labels) if balanced else None
    classifier = model.build(recipe, job.backbone, job.sites, labels, weights, job.parent, job.parent_labels, job.under)
    beside = source_weights(job, rows)
    if job.parent_labels != labels:  # the head is fresh
        probe(classifier, job, rows, beside)
    encoder = encoder_of(job)
    lessons = [_dataset(encoder, rows, labels)]
    if job.source_rows and beside is not None and beside.any():
        lessons.append(_dataset(encoder, job.source_rows, labels, beside.tolist()))
    for number, (name, splits) in enumerate(job.tasks.items(), 1):
        classifier.add_head(name, len(splits.labels), _class_weights(splits.train, splits.labels) if balanced else None)
        lessons.append(_dataset(encoder, splits.train, splits.labels, task=number))
    bf16 = bf16_wanted(options.bf16, lambda: classifier(**_some_rows()))
    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=SCORING_BATCH,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup,
        lr_scheduler_type="cosine",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        remove_unused_columns=False,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        data_seed=seed,
        report_to=options.report_to or "none",
        disable_tqdm=True,
        logging_strategy="epoch",
        dataloader_pin_memory=False,
    )
    trainer = Trainer(
        model=classifier,
        args=arguments,
        train_dataset=concatenate_datasets(lessons),
        eval_dataset=_dataset(encoder, job.splits.dev, labels),
        data_collator=lambda rows: _collate(rows, encoder.pad_id),
        compute_metrics=lambda p: {"macro_f1": macro_f1(p.label_ids, p.predictions.argmax(-1))},
        callbacks=[EarlyStoppingCallback(options.patience), RichProgress(f"{recipe.name} seed {seed}")],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    resume = any(work.glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=True if resume else None)
    _, held_out = job.held_out
    classifier = classifier.cpu()
    predicted = predict(classifier, encoder, held_out.texts, labels)
    exchanged: list[str] = []
    if job.exchange:
        put_under(classifier.adapted, job.exchange)
        exchanged = predict(classifier, encoder, held_out.texts, labels)
        put_under(classifier.adapted, job.under)
    dev, epochs = trainer.state.best_metric or 0.0, round(trainer.state.epoch or 0, 2)
    return Run(seed, classifier, dev, predicted, epochs, exchanged, mean_weight(beside))


def _some_rows() -> dict[str, torch.Tensor]:
    x = torch.full((16, 32), 5)
    return {"input_ids": x, "attention_mask": torch.ones_like(x), "token_type_ids": torch.zeros_like(x)}


def _dataset(
    encoder: TextEncoder, split: Split, labels: list[str], weights: Sequence[float] | None = None, task: int = 0
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
    return tensors | {name: torch.tensor([r[name] for r in rows]) for name in ("labels", "weights", "task")}


def _class_weights(train: Split, labels: list[str]) -> list[float]:
    counts = Counter(train.labels)
    return [len(train) / (len(labels) * counts[label]) if counts[label] else 0.0 for label in labels]


def _manifest(job: Job, staging: Path, metrics: dict[str, Any], golden: list[GoldenLogits]) -> Manifest:
    parent = load_manifest(job.parent) if job.parent else None
    return Manifest(
        format=1,
        name=job.recipe.name,
        task=job.recipe.task,
        backbone=encoder_part(fingerprint(job.backbone)),
        languages=job.recipe.languages,
        labels=job.splits.labels,
        heads={name: splits.labels for name, splits in job.tasks.items()},
        description=job.recipe.description,
        parent=parent.named if parent else None,
        stack=[load_manifest(folder).named for folder in job.under],
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        data=job.data,
        metrics=metrics,
        golden=golden,
        files={name: sha256(staging / name) for name in HASHED},
    )
