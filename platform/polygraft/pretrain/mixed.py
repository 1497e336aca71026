"""The loop of a phase of the second stage: mixed objectives, warm-up / stable / decay, averaged
weights, checkpoints.

CPU or CUDA, in float32 or under bf16 autocast. A killed run goes on from its last checkpoint with
the data it would have seen.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from transformers import EncoderDecoderModel

from polygraft.pretrain.average import Average
from polygraft.pretrain.checkpoint import Checkpoint
from polygraft.pretrain.dev import DevSet
from polygraft.pretrain.encoder_adapter import adapter_weights
from polygraft.pretrain.log import Log
from polygraft.pretrain.objectives import Ids, losses, weigh
from polygraft.pretrain.pack import Packed
from polygraft.pretrain.plan import BatchPlan
from polygraft.pretrain.recipe import Phase, Schedule
from polygraft.training.noise import MaskedHead
from polygraft.training.speed import quick_attention


def rate_at(schedule: Schedule, step: int) -> float:
    """Learning rate at `step` as a share of its peak: up in a line, flat, down in a line to
    zero."""
    share = (step + 1) / schedule.steps
    up = share / schedule.warmup if schedule.warmup else 1.0
    down = (1 - step / schedule.steps) / schedule.decay if schedule.decay else 1.0
    return max(0.0, min(1.0, up, down))


@torch.no_grad()
def blend(model: nn.Module, start: nn.Module, share: float) -> None:
    """Move the weights of `model` towards those it started from by `share` (Wortsman et al. 2022,
    "Robust fine-tuning of zero-shot models"): a training that gains somewhere and forgets elsewhere
    keeps most of the gain."""
    for ours, theirs in zip(model.parameters(), start.parameters(), strict=True):
        ours.lerp_(theirs, share)


def train_phase(
    model: EncoderDecoderModel,
    packed: Packed,
    phase: Phase,
    ids: Ids,
    work: Path,
    *,
    seed: int,
    device: str,
    bf16: bool,
    end: float | None = None,
    dev: DevSet | None = None,
) -> tuple[EncoderDecoderModel, bool]:
    """Train to `phase.schedule.steps`; returns the averaged model on the CPU, in eval mode, and
    whether that was reached.

    Writes `work/checkpoint.pt` and `work/log.jsonl`. `end` (of `time.monotonic`) stops early, with
    a checkpoint; the model returned then is what there is, its learning rate not yet decayed. `dev`
    is scored as the schedule says.
    """
    plan, schedule, objectives = BatchPlan(packed, phase, seed), phase.schedule, phase.objectives
    work.mkdir(parents=True, exist_ok=True)
    quick_attention(model)
    learns = schedule.encoder_lr > 0
    start = copy.deepcopy(model.encoder).eval().requires_grad_(False) if learns else model.encoder
    anchor = start.to(device)
    words = model.encoder.embeddings.word_embeddings
    sparse = nn.Embedding.from_pretrained(
        words.weight.detach().clone(), freeze=not learns, sparse=True
    )
    model.encoder.embeddings.word_embeddings = sparse
    head = MaskedHead(model.encoder.config.hidden_size)
    model.to(device).train()
    head.to(device)
    if phase.dropout is not None:
        set_dropout(model, phase.dropout)
    lora, body = adapter_weights(model), _body(model, learns)
    optimizers = [(_adam([*model.decoder.parameters(), *head.parameters()]), schedule.decoder_lr)]
    if lora:
        optimizers.append((_adam(lora), schedule.adapter_lr))
    if learns:
        optimizers.append((_adam(body), schedule.encoder_lr))
        optimizers.append((torch.optim.SparseAdam(list(sparse.parameters())), schedule.rows_lr))
    average = Average(model, schedule.ema)
    checkpoint = Checkpoint(model, head, average, [o for o, _ in optimizers], work, device)
    step = saved = checkpoint.resume()
    log = Log(work / "log.jsonl", step, packed.languages)
    clipped = [*model.decoder.parameters(), *lora, *body]
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as progress:
        bar = progress.add_task(phase.name, total=schedule.steps, completed=step)
        while step < schedule.steps and (end is None or time.monotonic() < end):
            batch = plan[step]
            rng = np.random.default_rng([seed, step, 1])
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                terms = losses(
                    batch, packed, model, anchor, head, objectives, ids, rng, device, log.directions
                )
            weigh(terms, objectives).backward()
            nn.utils.clip_grad_norm_(clipped, 1.0)
            for optimizer, peak in optimizers:
                optimizer.param_groups[0]["lr"] = peak * rate_at(schedule, step)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            average.update(model)
            step += 1
            log.add(
                terms,
                int(packed.source_lengths[batch.sources].sum()),
                int(packed.target_lengths[batch.targets].sum()),
            )
            progress.update(bar, completed=step, description=f"{phase.name}: {log.latest()}")
            if step % schedule.checkpoint_steps == 0 or step == schedule.steps:
                with average.used_by(model):
                    figures = dev.figures(model, schedule, step) if dev else {}
                log.write(step, figures)
                checkpoint.write(step)
                saved = step
        if step > saved:
            checkpoint.write(step)
    model.to("cpu")
    average.values = {n: v.cpu() for n, v in average.values.items()}
    average.copy_to(model)
    plain = nn.Embedding.from_pretrained(
        sparse.weight.detach().cpu(), freeze=not learns, padding_idx=0
    )
    model.encoder.embeddings.word_embeddings = plain
    if phase.keep and learns:
        blend(model.encoder, anchor.to("cpu"), phase.keep)
    return model.eval(), step >= schedule.steps


def set_dropout(model: EncoderDecoderModel, share: float) -> None:
    """Drop `share` of what the decoder's layers and the adapter read, while it trains."""
    for part in (model.decoder, *(m for m in model.encoder.modules() if isinstance(m, LoraLayer))):
        for module in part.modules():
            if isinstance(module, nn.Dropout):
                module.p = share


def _body(model: EncoderDecoderModel, learns: bool) -> list[nn.Parameter]:
    """The encoder's own weights without its embedding rows; they are set to be trained if
    `learns`."""
    return [
        parameter.requires_grad_(learns)
        for name, parameter in model.encoder.named_parameters()
        if "word_embeddings" not in name and "lora_" not in name
    ]


def _adam(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(weights, betas=(0.9, 0.98), fused=True)
