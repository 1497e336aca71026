"""The loop of a phase of the second stage: mixed objectives, warm-up / stable / decay, averaged weights, checkpoints.

CPU or CUDA, in float32 or under bf16 autocast. A killed run goes on from its last checkpoint with the data it would have
seen. `carry` writes a small checkpoint (float16 weights and the step, no optimizer moments) for going on elsewhere.
"""

from __future__ import annotations

import copy
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import EncoderDecoderModel

from polygraft.errors import BackboneError
from polygraft.lines import split_lines
from polygraft.pretrain.objectives import Ids, losses, weigh
from polygraft.pretrain.pack import Packed
from polygraft.pretrain.plan import Plan
from polygraft.pretrain.recipe import Phase, Schedule
from polygraft.training.noise import MaskedHead
from polygraft.training.speed import quick_attention


def rate_at(schedule: Schedule, step: int) -> float:
    """Learning rate at `step` as a share of its peak: up in a line, flat, down in a line to zero."""
    share = (step + 1) / schedule.steps
    up = share / schedule.warmup if schedule.warmup else 1.0
    down = (1 - step / schedule.steps) / schedule.decay if schedule.decay else 1.0
    return max(0.0, min(1.0, up, down))


class Average:
    """Exponential moving average of the dense weights. Encoder embedding rows, most of them untouched by a step, are taken
    as they are: averaging all 50,000 would cost more than the step."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.values = {name: p.detach().clone() for name, p in self._dense(model)}

    @staticmethod
    def _dense(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
        return [(n, p) for n, p in model.named_parameters() if not n.startswith("encoder.embeddings.word_embeddings")]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        names = [(self.values[name], p) for name, p in self._dense(model)]
        torch._foreach_lerp_([a for a, _ in names], [p.detach() for _, p in names], 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        for name, p in self._dense(model):
            p.copy_(self.values[name])


@torch.no_grad()
def blend(model: nn.Module, start: nn.Module, share: float) -> None:
    """Move the weights of `model` towards those it started from by `share` (Wortsman et al. 2022, "Robust fine-tuning of
    zero-shot models"): a training that gains somewhere and forgets elsewhere keeps most of the gain."""
    for ours, theirs in zip(model.parameters(), start.parameters(), strict=True):
        ours.lerp_(theirs, share)


def train_phase(
    model: EncoderDecoderModel, packed: Packed, phase: Phase, ids: Ids, work: Path, *,
    seed: int, device: str, bf16: bool, end: float | None = None,
) -> tuple[EncoderDecoderModel, bool]:  # fmt: skip
    """Train to `phase.schedule.steps`; returns the averaged model on the CPU, in eval mode, and whether that was reached.

    Writes `work/checkpoint.pt` and `work/log.jsonl`. `end` (of `time.monotonic`) stops early, with a checkpoint; the model
    returned then is what there is, its learning rate not yet decayed.
    """
    plan, schedule, objectives = Plan(packed, phase, seed), phase.schedule, phase.objectives
    work.mkdir(parents=True, exist_ok=True)
    quick_attention(model)
    anchor = copy.deepcopy(model.encoder).to(device).eval().requires_grad_(False)
    learns = schedule.encoder_lr > 0
    words = model.encoder.embeddings.word_embeddings
    sparse = nn.Embedding.from_pretrained(words.weight.detach().clone(), freeze=not learns, sparse=True)
    model.encoder.embeddings.word_embeddings = sparse
    head = MaskedHead(model.encoder.config.hidden_size)
    model.to(device).train()
    head.to(device)
    body = [p.requires_grad_(learns) for n, p in model.encoder.named_parameters() if "word_embeddings" not in n]
    decoder = torch.optim.AdamW([*model.decoder.parameters(), *head.parameters()], betas=(0.9, 0.98), fused=True)
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [(decoder, schedule.decoder_lr)]
    if learns:
        optimizers += [
            (torch.optim.AdamW(body, betas=(0.9, 0.98), fused=True), schedule.encoder_lr),
            (torch.optim.SparseAdam(list(sparse.parameters())), schedule.rows_lr),
        ]
    average = Average(model, schedule.ema)
    run = _Run(model, head, average, [o for o, _ in optimizers], work, device)
    step = run.resume()
    tokens, before = _so_far(work / "log.jsonl", step)
    started, sums = time.monotonic() - before, defaultdict[str, list[float]](list)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as progress, (work / "log.jsonl").open("a", encoding="utf-8") as log:  # fmt: skip
        bar = progress.add_task(phase.name, total=schedule.steps, completed=step)
        while step < schedule.steps and (end is None or time.monotonic() < end):
            batch = plan[step]
            rng = np.random.default_rng([seed, step, 1])
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                terms = losses(batch, packed, model, anchor, head, objectives, ids, rng, device)
            weigh(terms, objectives).backward()
            nn.utils.clip_grad_norm_([*model.decoder.parameters(), *body], 1.0)
            for optimizer, peak in optimizers:
                optimizer.param_groups[0]["lr"] = peak * rate_at(schedule, step)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            if schedule.ema:
                average.update(model)
            step += 1
            tokens += int(packed.source_lengths[batch.sources].sum() + packed.target_lengths[batch.targets].sum())
            for name, value in terms.items():
                sums[name].append(value.item())
            progress.update(
                bar, completed=step, description=f"{phase.name}: " + " ".join(f"{n} {v[-1]:.2f}" for n, v in sums.items())
            )
            if step % schedule.checkpoint_steps == 0 or step == schedule.steps:
                means = {name: round(float(np.mean(v)), 4) for name, v in sums.items()}
                record = {"step": step, **means, "tokens": tokens, "seconds": round(time.monotonic() - started)}
                log.write(json.dumps(record) + "\n")
                log.flush()
                sums.clear()
                run.checkpoint(step)
        run.checkpoint(step)
    model.to("cpu")
    if schedule.ema:
        average.values = {n: v.cpu() for n, v in average.values.items()}
        average.copy_to(model)
    plain = nn.Embedding.from_pretrained(sparse.weight.detach().cpu(), freeze=False, padding_idx=0)
    model.encoder.embeddings.word_embeddings = plain
    if phase.keep:
        blend(model.encoder, anchor.to("cpu"), phase.keep)
    return model.eval(), step >= schedule.steps


def _so_far(log: Path, step: int) -> tuple[int, float]:
    """Tokens and seconds until `step`, as the log of the run that is taken up tells."""
    lines = split_lines(log.read_text(encoding="utf-8")) if step and log.exists() else []
    records = [r for r in map(json.loads, lines) if r["step"] <= step]
    return (records[-1]["tokens"], records[-1]["seconds"]) if records else (0, 0.0)


class _Run:
    """What a checkpoint holds, and writing and reading it."""

    def __init__(
        self, model: nn.Module, head: nn.Module, average: Average, optimizers: list[torch.optim.Optimizer],
        work: Path, device: str,
    ) -> None:  # fmt: skip
        self.model, self.head, self.average, self.optimizers = model, head, average, optimizers
        self.file, self.carried, self.device = work / "checkpoint.pt", work / "carry.safetensors", device

    def checkpoint(self, step: int) -> None:
        state = {
            "step": step, "model": self.model.state_dict(), "head": self.head.state_dict(),
            "average": self.average.values, "updates": self.average.updates,
            "optimizers": [o.state_dict() for o in self.optimizers],
        }  # fmt: skip
        torch.save(state, self.file.with_suffix(".tmp"))
        self.file.with_suffix(".tmp").replace(self.file)

    def resume(self) -> int:
        """The step to go on from: the checkpoint's, else the carried one's, else 0."""
        if self.file.exists():
            state = torch.load(self.file, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.head.load_state_dict(state["head"])
            self.average.values, self.average.updates = state["average"], state["updates"]
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            return int(state["step"])
        if self.carried.exists():
            state = load_file(self.carried)
            step = int(state.pop("step"))
            self.model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
            self.average.values = Average(self.model, self.average.decay).values
            return step
        return 0


def carry(work: Path) -> Path:
    """Write `carry.safetensors` beside the latest checkpoint of a phase under `work`: float16 weights and the step, about a
    sixth of its size. Raises `BackboneError` when there is none."""
    checkpoints = sorted(work.glob("*/checkpoint.pt"), key=lambda file: file.stat().st_mtime)
    if not checkpoints:
        raise BackboneError(f"{work} has no checkpoint of a second stage; give the WORK folder of a `polygraft pretrain` run")
    state = torch.load(checkpoints[-1], map_location="cpu", weights_only=True)
    tied = "decoder.cls.predictions.decoder"
    small = {k: v.to(torch.float16).contiguous().clone() for k, v in state["model"].items() if not k.startswith(tied)}
    file = checkpoints[-1].with_name("carry.safetensors")
    save_file(small | {"step": torch.tensor(state["step"])}, file)
    return file
