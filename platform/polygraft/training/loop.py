"""The training loop of every task: transformers' `Trainer` (on accelerate), resumed from
checkpoints, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from polygraft.training.progress import RichProgress


def run_loop(
    model: nn.Module,
    work: Path,
    *,
    title: str,
    seed: int,
    bf16: bool,
    train: Any,
    dev: Any,
    collate: Callable[[list[Any]], Any],
    callbacks: Sequence[TrainerCallback] = (),
    compute_metrics: Callable[[Any], dict[str, float]] | None = None,
    **arguments: Any,
) -> TrainerState:
    """Train `model` until its schedule ends. It is left on the CPU with the weights of the best
    checkpoint. `work` holds the checkpoints: where there are any, the run goes on from the last.
    `arguments` are passed to transformers' `TrainingArguments`."""
    options = TrainingArguments(
        output_dir=str(work),
        lr_scheduler_type="cosine",
        save_total_limit=2,
        load_best_model_at_end=True,
        remove_unused_columns=False,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        seed=seed,
        data_seed=seed,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **{"report_to": "none", **arguments},
    )
    trainer = Trainer(
        model=model,
        args=options,
        train_dataset=train,
        eval_dataset=dev,
        data_collator=collate,
        compute_metrics=compute_metrics,
        callbacks=[RichProgress(title), *callbacks],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train(resume_from_checkpoint=True if any(work.glob("checkpoint-*")) else None)
    model.cpu()
    state: TrainerState = trainer.state
    return state


def by_steps(steps: int, evaluations: int) -> dict[str, Any]:
    """Arguments for a run whose data set holds whole batches, one a step, and whose dev loss
    chooses the checkpoint."""
    every = max(1, steps // evaluations)
    return {
        "max_steps": steps,
        "per_device_train_batch_size": 1,
        "per_device_eval_batch_size": 1,
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
        "logging_steps": every,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "prediction_loss_only": True,
        "train_sampling_strategy": "sequential",
    }


def take_whole_batch(batches: list[Any]) -> Any:
    """Collate for a data set whose items are whole batches: the loader asks for one at a time."""
    return batches[0]
