"""Which strategy suits a recipe's own data: cheap figures on its dev rows, and rules of thumb that name the figures they went
by.

The thresholds are rules of thumb. What the study (`adapters/study/study.html`) says so far: TF-IDF is hard to beat with a
hundred rows a label, and even with ten. Does not: train LoRA (`polygraft train --full-ladder` does, and decides).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polygraft import evaluate
from polygraft.adapter import load_manifest
from polygraft.errors import RecipeError
from polygraft.library import Library
from polygraft.training import model, sources
from polygraft.training.head import fit_head
from polygraft.training.job import Job, encoder_of, predict

FEW, MANY = 50, 200  # rows of the rarest label
ZERO_SHOT = 3


@dataclass(frozen=True)
class Advice:
    """A strategy and why."""

    strategy: str
    why: str


def advise(job: Job, library: Library) -> dict[str, Any]:
    """`rows` by label, `sources` by closeness, macro-F1 on `dev` of what takes seconds, and `advice`, the best first."""
    counts = Counter(job.splits.train.labels)
    try:
        ranked = sources.rank(job, library)
    except RecipeError:
        ranked = []
    dev, labels = job.splits.dev, job.splits.labels
    gold = np.array(dev.labels)

    def score(said: list[str]) -> float:
        return round(evaluate.macro_f1(gold, np.array(said)), 1)

    alone = {"tfidf": score(evaluate.tfidf(job.splits.train, dev.texts)), "head": round(fit_head(job, 0).dev_score, 1)}
    given = {
        one.name: score(_zero_shot(job, library.folder(one.name), labels)) for one in ranked[:ZERO_SHOT] if one.name is not None
    }
    languages = [n for n in library.names() if _reads(library.folder(n), job.recipe.languages)]
    return {
        "rows": dict(counts), "sources": [asdict(one) for one in ranked],
        "dev": alone | {f"zero-shot {name}": value for name, value in given.items()},
        "advice": [asdict(one) for one in rules(min(counts.values()), alone, given, languages)],
    }  # fmt: skip


def rules(rarest: int, alone: dict[str, float], given: dict[str, float], languages: list[str]) -> list[Advice]:
    """Every rule that applies: (whether it does, strategy, why)."""
    over, source = max(alone, key=alone.__getitem__), max(given, key=given.__getitem__, default="")
    beats = bool(source) and given[source] >= alone[over]
    rules = [
        (
            beats, "parent",
            f"{source}, without any of your rows, scores {given.get(source)} on dev; the best that learnt from them, {over}, "
            f"{alone[over]}",
        ),
        (
            bool(source) and not beats and rarest < MANY, "parent",
            f"{rarest} rows of the rarest label are few, and {source} knows these labels: {given.get(source)} on dev before it "
            "has seen one of your rows",
        ),
        (
            bool(source) and rarest < FEW, "mixed",
            f"with fewer than {FEW} rows of a label, the rows of {source} beside yours keep the head from fitting noise",
        ),
        (
            not source and rarest < FEW, "head",
            f"no adapter here has these labels, and {rarest} rows of the rarest are too few for LoRA; a linear head scores "
            f"{alone['head']} on dev in seconds",
        ),
        (
            rarest >= FEW, "lora",
            f"{rarest} rows of the rarest label can train LoRA from the bare backbone; it has to beat {over}, {alone[over]}",
        ),
        (
            alone["tfidf"] > max([alone["head"], *given.values()]), "TF-IDF",
            f"scores {alone['tfidf']} on dev, more than anything else tried; if the full ladder agrees, use it and no adapter",
        ),
        (bool(languages), "stack", f"{', '.join(languages)} reads this language; whether it helps, the full ladder tells"),
    ]  # fmt: skip
    return [Advice(strategy, why) for applies, strategy, why in rules if applies]


def _zero_shot(job: Job, adapter: Path, labels: list[str]) -> list[str]:
    classifier = model.build(job.recipe, job.backbone, job.sites, labels, None, adapter, load_manifest(adapter).labels)
    return predict(classifier, encoder_of(job), job.splits.dev.texts, labels)


def _reads(folder: Path, languages: list[str]) -> bool:
    manifest = load_manifest(folder)
    return manifest.task == "language" and bool(set(manifest.languages) & set(languages))
