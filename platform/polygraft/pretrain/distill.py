"""Distil the teacher's English sentence vectors into the multilingual student.

Each row is a sentence in some language and the teacher's vector of its English side. Loss:
`teacher.towards`. The rows in `learnt` learn fast, the other rows are frozen, the body learns
slowly. Runs on CPU or CUDA, resumes from its last checkpoint: the batch plan is a pure function of
the recipe, so the step number is the whole reader state.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from transformers import BertModel

from polygraft.architectures.text import Encoded, TextEncoder, pad
from polygraft.pretrain.corpus import EnglishPair
from polygraft.pretrain.recipe import Distillation
from polygraft.pretrain.teacher import towards
from polygraft.training.batches import cut, tensors
from polygraft.training.vectors import mean_pool

GROUP = 8192


class SplitEmbedding(nn.Module):
    """Learnt rows (sparse gradients) and frozen rows behind one id space; `learnt` lists the ids of
    the former."""

    frozen: torch.Tensor
    place: torch.Tensor

    def __init__(self, weight: torch.Tensor, learnt: torch.Tensor) -> None:
        super().__init__()
        place = torch.full((len(weight),), -1)
        place[learnt] = torch.arange(len(learnt))
        self.register_buffer("frozen", weight.clone())
        self.register_buffer("place", place)
        self.learnt = nn.Embedding.from_pretrained(
            weight[learnt].clone(), freeze=False, sparse=True
        )

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        place = self.place[ids]
        learnt: torch.Tensor = self.learnt(place.clamp(min=0))
        return torch.where((place >= 0).unsqueeze(-1), learnt, self.frozen[ids])

    def weight(self) -> torch.Tensor:
        weight = self.frozen.clone()
        weight[self.place >= 0] = self.learnt.weight.detach()
        return weight


def plan_batches(lengths: NDArray[np.int64], tokens: int, seed: int) -> list[NDArray[np.int64]]:
    """Cut rows into batches of similar length with at most `tokens` padded tokens, in a random but
    fixed order."""
    rng = np.random.default_rng(seed)
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(lengths), GROUP):
        rows = np.arange(start, min(start + GROUP, len(lengths)))
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        group = cut(rows, lengths, tokens)
        batches += [group[j] for j in rng.permutation(len(group))]
    return batches


def distil(
    student: BertModel,
    learnt: NDArray[np.int64],
    encoder: TextEncoder,
    pairs: list[EnglishPair],
    teacher_row: NDArray[np.int64],
    vectors: NDArray[np.float16],
    recipe: Distillation,
    work: Path,
    *,
    seed: int,
    device: str,
    stop_after: float | None,
) -> BertModel:
    """Train `student` in place and return it.

    `learnt` are the ids of the embedding rows to train, ascending. `pairs[i]` is the i-th drawn
    row, `vectors[teacher_row[i]]` its target. Writes `work/checkpoint.pt` and `work/log.jsonl`.
    `stop_after` (seconds) shortens the schedule to what fits: the learning rate still ends at 0.
    """
    rng = np.random.default_rng(seed + 1)
    read_english = rng.random(len(pairs)) < recipe.english_rate
    rows = encoder.encode(
        [p.english if english else p.text for p, english in zip(pairs, read_english, strict=True)]
    )
    batches = plan_batches(np.array([len(r) for r in rows]), recipe.tokens, seed)
    embedding = SplitEmbedding(
        student.get_input_embeddings().weight.detach(), torch.from_numpy(learnt)
    )
    student.embeddings.word_embeddings = embedding
    student.to(device).train()
    body = [p for name, p in student.named_parameters() if "word_embeddings" not in name]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(body, lr=recipe.body_lr, weight_decay=0.01),
        torch.optim.SparseAdam(list(embedding.learnt.parameters()), lr=recipe.rows_lr),
    ]
    checkpoint, log = work / "checkpoint.pt", work / "log.jsonl"
    step, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        student.load_state_dict(state["student"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, spent = state["step"], state["spent"]
    started, done_before = time.monotonic() - spent, step

    def progress_share() -> float:
        by_steps = step / len(batches)
        return (
            by_steps
            if stop_after is None
            else max(by_steps, (time.monotonic() - started) / stop_after)
        )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress, log.open("a", encoding="utf-8") as log_file:
        bar = progress.add_task("distil", total=len(batches), completed=done_before)
        running: list[tuple[float, float]] = []
        while step < len(batches) and progress_share() < 1:
            share = progress_share()
            scale = min(1.0, share / recipe.warmup) if recipe.warmup else 1.0
            scale *= 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
            for optimizer, rate in zip(optimizers, (recipe.body_lr, recipe.rows_lr), strict=True):
                optimizer.param_groups[0]["lr"] = rate * scale
            batch = batches[step]
            cosine, contrast = _losses(
                student, [rows[i] for i in batch], vectors[teacher_row[batch]], recipe, device
            )
            (cosine + recipe.contrast * contrast).backward()
            nn.utils.clip_grad_norm_(body, 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            running.append((cosine.item(), contrast.item()))
            step += 1
            progress.update(bar, completed=step, description=f"distil cos {running[-1][0]:.3f}")
            if step % recipe.checkpoint_steps == 0:
                spent = time.monotonic() - started
                mean = np.mean(running, axis=0).round(4).tolist()
                record = {
                    "step": step,
                    "of": len(batches),
                    "cosine": mean[0],
                    "contrast": mean[1],
                    "seconds": round(spent),
                }
                log_file.write(json.dumps(record) + "\n")
                log_file.flush()
                running = []
                states = [optimizer.state_dict() for optimizer in optimizers]
                saved = {
                    "student": student.state_dict(),
                    "optimizers": states,
                    "step": step,
                    "spent": spent,
                }
                torch.save(saved, checkpoint.with_suffix(".tmp"))
                checkpoint.with_suffix(".tmp").replace(checkpoint)
    plain = nn.Embedding.from_pretrained(embedding.weight(), freeze=False, padding_idx=0)
    student.embeddings.word_embeddings = plain
    return student.cpu().eval()


def _losses(
    student: BertModel,
    rows: list[Encoded],
    target: NDArray[np.float16],
    recipe: Distillation,
    device: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = tensors(pad(rows, 0), device)
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        states = student(**inputs).last_hidden_state
    vectors = mean_pool(states.float(), inputs["attention_mask"])
    goal = torch.from_numpy(target.astype(np.float32)).to(device)
    return towards(vectors, goal, recipe.temperature)
