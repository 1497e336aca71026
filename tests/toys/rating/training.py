from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import torch
from rich.console import Console
from safetensors.torch import save_file

from polygraft.adapters.layout import LAYOUT
from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import load_encoder
from polygraft.tasks.training import TrainedTask
from polygraft.training.card import Card, origin
from polygraft.training.lora import adapt, save_lora
from polygraft.training.sites import graph_sites
from polygraft.training.vectors import pool
from rating.job import RatingJob
from rating.recipe import RatingRecipe
from rating.serving import GoldenRating, RatingManifest


@dataclass(frozen=True)
class Run:
    adapted: peft.PeftModel
    head: torch.nn.Linear
    loss: float


class RatingCard(Card):
    limits = "A toy."

    def introduction(self, manifest: RatingManifest, recipe: RatingRecipe) -> str:
        return f"A number for a text; {origin(manifest)}"

    def figures(self, metrics: dict[str, Any]) -> str:
        return f"Loss {metrics['loss']}."


class TrainedRating(TrainedTask[RatingJob, Run]):
    card = RatingCard()

    def fit(self, job: RatingJob, seed: int, work: Path, say: Console) -> Run:
        torch.manual_seed(seed)
        adapted = adapt(
            load_backbone(job.backbone), job.recipe.lora, graph_sites(job.backbone), None
        )
        head = torch.nn.Linear(adapted.config.hidden_size, 1)
        wanted = torch.tensor(job.ratings)
        trained = [p for p in adapted.parameters() if p.requires_grad] + list(head.parameters())
        optimiser = torch.optim.AdamW(trained, lr=job.recipe.learning_rate)
        for _ in range(job.recipe.steps):
            loss = torch.nn.functional.mse_loss(
                _ratings(adapted, head, job.backbone, job.texts), wanted
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return Run(adapted.eval(), head, float(loss))

    def best(self, runs: Sequence[Run]) -> Run:
        return runs[0]

    def score(
        self,
        job: RatingJob,
        runs: Sequence[Run],
        others: Mapping[str, Sequence[Run]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        return {"loss": round(runs[0].loss, 4)}

    @torch.no_grad()
    def manifest_fields(self, job: RatingJob, run: Run) -> dict[str, Any]:
        texts = job.texts[:4]
        now = _ratings(run.adapted, run.head, job.backbone, texts).tolist()
        with run.adapted.disable_adapter():
            bare = _ratings(run.adapted, run.head, job.backbone, texts).tolist()
        return {
            "golden_ratings": [
                GoldenRating(text=t, rating=n, bare=b)
                for t, n, b in zip(texts, now, bare, strict=True)
            ]
        }

    def save(self, run: Run, folder: Path, backbone: Path) -> None:
        save_lora(run.adapted, folder, backbone)
        save_file(
            {name: p.detach().contiguous() for name, p in run.head.named_parameters()},
            folder / LAYOUT.head,
        )


TASK = TrainedRating()


def _ratings(
    adapted: peft.PeftModel, head: torch.nn.Linear, backbone: Path, texts: Sequence[str]
) -> torch.Tensor:
    encoder = load_encoder(backbone)
    inputs = {
        name: torch.from_numpy(array) for name, array in encoder.pad(encoder.encode(texts)).items()
    }
    found: torch.Tensor = head(pool(adapted(**inputs).last_hidden_state, inputs["attention_mask"]))[
        :, 0
    ]
    return found
