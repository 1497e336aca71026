"""A job's texts through its backbone: vectors, logits, labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.utils import resample
from torch import nn
from transformers import PreTrainedModel

from polygraft.adapters.layout import LAYOUT
from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import TextEncoder, load_encoder
from polygraft.data.splits import Split
from polygraft.tasks.classification import model
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.shared_vectors import (
    MAX_ROWS,
    SharedVectors,
    id_hashes,
    write_vectors,
)
from polygraft.tasks.classification.source_rows import ids_of
from polygraft.tasks.serving import Floats
from polygraft.training.linear_head import Vectors
from polygraft.training.phases import phase
from polygraft.training.vectors import mean_over_windows, sentence_vectors

SCORING_BATCH = 64


def encoder_of(job: ClassificationJob) -> TextEncoder:
    return load_encoder(job.backbone, window=job.recipe.training.max_length)


def vectors_of(
    job: ClassificationJob, texts: Sequence[str], adapted: PreTrainedModel | None = None
) -> Vectors:
    """Mean-pooled vectors [len(texts), hidden] by the bare backbone, or by `adapted`: the backbone
    with the job's parent and stack. Each is computed once for all jobs that share
    `job.vector_cache`."""
    cached = job.vector_cache.setdefault((job.parent, job.stack) if adapted else (None, ()), {})
    if new := [text for text in dict.fromkeys(texts) if text not in cached]:
        backbone = adapted or load_backbone(job.backbone)
        with phase("reading texts", len(new)) as advance:
            vectors = sentence_vectors(backbone, encoder_of(job), new, unit=False, advance=advance)
        cached.update(zip(new, vectors, strict=True))
    return np.array([cached[text] for text in texts])


def source_vectors(
    job: ClassificationJob, adapted: PreTrainedModel | None = None
) -> SharedVectors | None:
    """The job's source rows by their vectors, as `vectors_of` gives them; those that the source
    shares, where the job has no more of them."""
    rows = job.source_rows
    if isinstance(rows, Split):
        return SharedVectors(vectors_of(job, rows.texts, adapted), rows.labels, ids_of(rows))
    return rows


def share_vectors(job: ClassificationJob, seed: int, folder: Path) -> None:
    """Write vectors, by the bare backbone, of the rows that the run with `seed` was trained on into
    `folder`, unless the recipe forbids it: without altered copies, and at most `MAX_ROWS`, drawn
    with every label's share."""
    if not job.recipe.data.share_vectors:
        return
    rows = job.drawn_rows(seed)
    labels, places = job.splits.labels, list(range(len(rows)))
    if len(rows) > MAX_ROWS:
        drawn = resample(
            places, replace=False, n_samples=MAX_ROWS, stratify=rows.labels, random_state=0
        )
        rows = rows.without(set(places) - set(drawn))
    shared = SharedVectors(vectors_of(job, rows.texts), rows.labels, id_hashes(rows.ids))
    write_vectors(shared, labels, folder / LAYOUT.vectors)


def neural_logits(
    classifier: model.Classifier,
    encoder: TextEncoder,
    texts: Sequence[str],
    head: nn.Module | None = None,
) -> Floats:
    """Logits [len(texts), labels] of the neural part, by the classifier's own head or by `head`."""
    return mean_over_windows(
        encoder,
        texts,
        lambda rows: model.logits_of(classifier, [encoder.pad(rows)], head=head),
        SCORING_BATCH,
    )


def predict(
    classifier: model.Classifier,
    encoder: TextEncoder,
    texts: Sequence[str],
    labels: Sequence[str],
    head: nn.Module | None = None,
) -> list[str]:
    """The likeliest label of each text by the neural part alone."""
    return likeliest(neural_logits(classifier, encoder, texts, head), labels)


def likeliest(logits: Floats, labels: Sequence[str]) -> list[str]:
    """The label with the largest logit of each row of [rows, labels]."""
    return [labels[i] for i in logits.argmax(axis=1)]
