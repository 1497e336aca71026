"""`polygraft train` for a language recipe: text -> LoRA on the encoder -> adapter folder with figures and card.

The figure that can be compared is the backbone's own objective: how well its frozen decoder writes dev texts whose spans were
cut, with the adapter and without. Of a run on masked tokens it also shows what the backbone forgot.
"""

from __future__ import annotations

import datetime
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from rich.console import Console
from transformers import Trainer, TrainingArguments

from polygraft.adapters.format import LAYOUT, Manifest, load_manifest, sha256
from polygraft.architectures.folder import BackboneFiles, encoder_part, fingerprint
from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import load_encoder
from polygraft.tasks.language import model
from polygraft.tasks.language.batches import Noisy, rows_of, scoring_groups, training_groups
from polygraft.tasks.language.card import write_card
from polygraft.tasks.language.denoising import denoising
from polygraft.tasks.language.job import LanguageJob
from polygraft.tasks.language.manifest import GoldenVector
from polygraft.training.finish import finish, made_with
from polygraft.training.goldens import beginnings, rounded
from polygraft.training.lora import save_lora
from polygraft.training.progress import RichProgress
from polygraft.training.speed import bf16_wanted
from polygraft.training.vectors import sentence_vectors

GOLDENS, CANDIDATES = 4, 200
FILES = (LAYOUT.peft_config, LAYOUT.weights)


def train(job: LanguageJob, output: Path, *, full_ladder: bool = False, say: Console | None = None) -> Manifest:
    """Train, keep the checkpoint with the lowest dev loss, and publish it to `output`. Returns its manifest.

    A killed run is taken up again from its last checkpoint. `full_ladder` changes nothing: there is no ladder for a language.
    """
    say = say or Console(stderr=True)
    started, options = time.monotonic(), job.recipe.training
    work = output / ".training" / job.key
    work.mkdir(parents=True, exist_ok=True)
    transformers.set_seed(options.seed)
    writes, can_write = options.objective == "denoise", job.start is not None
    reader = model.build(job.recipe, job.backbone, job.sites, job.parent, writes=can_write, seed=options.seed)
    encoder = load_encoder(job.backbone)
    pieces = TargetTokenizer(BackboneFiles(job.backbone).decoder_tokenizer) if can_write else None
    rows, dev = (rows_of(texts, encoder, pieces, job.start, options.max_length) for texts in (job.train, job.dev))
    scored = scoring_groups(dev, 4 * options.tokens)
    groups = training_groups(rows, options.steps, options.tokens, options.seed)
    every = max(1, options.steps // options.evaluations)
    first = Noisy(rows, groups, encoder, writes=writes, seed=options.seed)
    arguments = TrainingArguments(
        output_dir=str(work), max_steps=options.steps, per_device_train_batch_size=1, per_device_eval_batch_size=1,
        learning_rate=options.learning_rate, weight_decay=options.weight_decay, warmup_steps=options.warmup,
        lr_scheduler_type="cosine", eval_strategy="steps", eval_steps=every, save_strategy="steps", save_steps=every,
        save_total_limit=2, load_best_model_at_end=True, metric_for_best_model="eval_loss", greater_is_better=False,
        prediction_loss_only=True, train_sampling_strategy="sequential", remove_unused_columns=False,
        bf16=bf16_wanted(options.bf16, lambda: reader(**first[0])), use_cpu=not torch.cuda.is_available(), seed=options.seed,
        data_seed=options.seed, report_to="none", disable_tqdm=True, logging_steps=every, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(
        model=reader, args=arguments, train_dataset=first, data_collator=lambda batches: batches[0],
        eval_dataset=Noisy(dev, scored, encoder, writes=writes, seed=options.seed), callbacks=[RichProgress(job.recipe.name)],
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train(resume_from_checkpoint=True if any(work.glob("checkpoint-*")) else None)
    reader = reader.cpu().eval()
    metrics: dict[str, Any] = {
        "split": "dev", "rows": len(dev), "objective": options.objective,
        "dev_loss": round(float(trainer.state.best_metric or 0.0), 4),
    }  # fmt: skip
    if can_write:
        metrics["denoising"] = denoising(reader, Noisy(dev, scored, encoder, writes=True, seed=options.seed))
    metrics["made_with"] = made_with(started)
    golden = _goldens(job, reader)
    manifest = finish(
        output, job.file, lambda folder: save_lora(reader.adapted, folder, job.backbone),
        lambda folder: _manifest(job, folder, metrics, golden), lambda made, file: write_card(made, job.recipe, file),
    )  # fmt: skip
    shutil.rmtree(work.parent)
    return manifest


def _goldens(job: LanguageJob, reader: model.Reader) -> list[GoldenVector]:
    """Beginnings of dev texts (of training texts too, where those are few) whose vectors the adapter moves most."""
    encoder, texts = load_encoder(job.backbone), beginnings(job.dev, job.train)[:CANDIDATES]
    ours = sentence_vectors(reader.adapted, encoder, texts)
    with reader.adapted.disable_adapter():
        bare = sentence_vectors(reader.adapted, encoder, texts)
    furthest = np.argsort((ours * bare).sum(axis=1))[:GOLDENS]
    return [GoldenVector(text=texts[i], vector=rounded(ours[i]), bare=rounded(bare[i])) for i in furthest]


def _manifest(job: LanguageJob, staging: Path, metrics: dict[str, Any], golden: list[GoldenVector]) -> Manifest:
    return Manifest(
        format=1,
        name=job.recipe.name,
        task="language",
        backbone=encoder_part(fingerprint(job.backbone)),
        languages=job.recipe.languages,
        description=job.recipe.description,
        parent=load_manifest(job.parent).named if job.parent else None,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        data=job.sources,
        metrics=metrics,
        golden_vectors=golden,
        files={name: sha256(staging / name) for name in FILES},
    )
