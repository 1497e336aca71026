"""Which adapter to start from: candidates ranked by two cheap guesses, and tried briefly.

Evidence (LogME; You et al. 2021, section 4) is how well a linear model explains the target's labels
from the vectors the candidate gives its rows; it ranks. Closeness is the mean, over a sample of
target rows (labels are not used), of the cosine to the nearest of a sample of the candidate's
training rows, by the backbone's own vectors; Lin et al. 2019 ("Choosing transfer languages for
cross-lingual learning") find features of the data such as this one the most telling. Here it
guesses no better than chance: on seven NusaX languages taking the first costs 1.5 macro-F1 by
closeness, 0.6 by evidence, 1.3 if any is taken (`tests/bench/sources.py`). A short run of the first
few on the target's own rows says more. Does not: decide (see `polygraft train --full-ladder`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import peft
from sklearn.linear_model import BayesianRidge

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.loading import load_backbone
from polygraft.data.reading import thinned
from polygraft.errors import RecipeError
from polygraft.tasks.classification.data import check_parent, read_split
from polygraft.tasks.classification.encoding import encoder_of, vectors_of
from polygraft.tasks.classification.fit import fit
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.shared_vectors import SharedVectors
from polygraft.tasks.recipe import LoraRecipe
from polygraft.training.linear_head import Vectors, unit
from polygraft.training.parents import find_adapter, with_lora_of
from polygraft.training.phases import phase
from polygraft.training.threads import on_one_thread
from polygraft.training.vectors import sentence_vectors
from polygraft.transfer.candidates import SourceAdapter, find_candidates

TARGET_ROWS, SOURCE_ROWS, TRIED, ENGLISH = 200, 2000, 3, "en"


@dataclass(frozen=True)
class Candidate:
    """`closeness` is a cosine, `evidence` in nats a row; `dev_score` the macro-F1 on the target's
    dev rows after a short run, None when it was not tried; name None is no parent at all."""

    name: str | None
    languages: list[str]
    closeness: float | None = None
    evidence: float | None = None
    dev_score: float | None = None


def rank(job: ClassificationJob, library: Library | None = None) -> list[Candidate]:
    """Adapters of the same task (see `candidates`), most evidence first. Raises `RecipeError` when
    there is none, with why others were left out."""
    encoder, train = encoder_of(job), job.splits.train
    texts, labels = thinned(train.texts, TARGET_ROWS), thinned(train.labels, TARGET_ROWS)
    target = unit(vectors_of(job, texts))
    candidates, ranked = find_candidates(job, library), list[Candidate]()
    with phase("comparing", len(candidates.found)) as advance:
        for one in candidates.found:
            adapted = peft.PeftModel.from_pretrained(load_backbone(job.backbone), one.folder)
            ranked.append(
                Candidate(
                    one.name,
                    one.manifest.languages,
                    closeness=round(closeness(target, _source_vectors(job, one)), 4),
                    evidence=round(evidence(sentence_vectors(adapted, encoder, texts), labels), 4),
                )
            )
            advance(1)
    if not ranked:
        why = [f"{name} is left out: {reason}" for name, reason in candidates.left_out.items()]
        raise RecipeError(
            str(job.file), [f"no adapter here has labels {job.splits.labels} and rows", *why]
        )
    return sorted(ranked, key=lambda c: c.evidence or 0.0, reverse=True)


def _source_vectors(job: ClassificationJob, one: SourceAdapter) -> Vectors:
    """Unit vectors [rows, hidden] of the candidate's rows, or of some."""
    if isinstance(one.rows, SharedVectors):
        return unit(one.rows.vectors)
    return unit(vectors_of(job, thinned(one.rows.texts, SOURCE_ROWS)))


def closeness(target: Vectors, source: Vectors) -> float:
    """Mean cosine of each of the unit vectors `target` [n, hidden] to its nearest in `source` [m,
    hidden]."""
    return float((target @ source.T).max(axis=1).mean())


@on_one_thread
def evidence(vectors: Vectors, labels: Sequence[str]) -> float:
    """Log marginal likelihood of "is this label" by Bayesian linear regression on `vectors` [n,
    hidden], precisions chosen to make it largest; mean over labels, nats a row."""
    gold = np.array(labels)
    fits = [
        BayesianRidge(compute_score=True).fit(vectors, gold == label)
        for label in sorted(set(labels))
    ]
    return float(np.mean([fit.scores_[-1] for fit in fits])) / len(labels)


def attempt(
    job: ClassificationJob,
    library: Library | None,
    ranked: Sequence[Candidate],
    *,
    epochs: float = 2,
    every: bool = False,
) -> list[Candidate]:
    """The first `TRIED` of `ranked`, the first English one and no parent at all (or, with `every`,
    all of them), each trained for `epochs` on the target's rows; best first. Raises `DataError` for
    one that saw translations of the target's dev or test rows."""
    chosen = list(ranked if every else ranked[:TRIED])
    english = next((c for c in ranked if c.languages == [ENGLISH]), None)
    if english and english not in chosen:
        chosen.append(english)
    tried = []
    for candidate in [*chosen, Candidate(None, [])]:
        short = _short_job(job, library, candidate, epochs)
        with tempfile.TemporaryDirectory() as work:
            run = fit(short, 0, Path(work))
        tried.append(replace(candidate, dev_score=round(run.dev_score, 2)))
    return sorted(tried, key=lambda c: -(c.dev_score or 0.0))


def _short_job(
    job: ClassificationJob, library: Library | None, candidate: Candidate, epochs: float
) -> ClassificationJob:
    """`job` for `epochs` with the candidate as its parent, and LoRA of the parent's shape."""
    changes: dict[str, object] = {
        "training": job.recipe.training.model_copy(update={"epochs": epochs})
    }
    if candidate.name is None:
        return replace(job, recipe=job.recipe.model_copy(update=changes))
    parent = find_adapter(candidate.name, job.file, library, "parent")
    rows = read_split(parent / LAYOUT.recipe, "train")
    check_parent(job.recipe, candidate.name, rows, job.splits)
    changes |= {"parent": candidate.name, "lora": LoraRecipe()}
    recipe = with_lora_of(job.recipe.model_copy(update=changes), job.file, parent, job.sites)
    parent_labels = load_manifest(parent, ClassificationManifest).labels
    return replace(job, recipe=recipe, parent=parent, parent_labels=parent_labels)


def regret(tried: Sequence[Candidate], ranked: Sequence[Candidate]) -> float | None:
    """How much macro-F1 taking the first of `ranked` costs against the best of those tried. None
    when it was not tried."""
    scores = {c.name: c.dev_score for c in tried if c.dev_score is not None and c.name is not None}
    first = ranked[0].name
    return round(max(scores.values()) - scores[first], 2) if first in scores else None
