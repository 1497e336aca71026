"""What a trained adapter does to what was there before: its parent's task, and the backbone's own
objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.data.reading import thinned
from polygraft.reporting.intervals import bootstrap
from polygraft.tasks.classification import model
from polygraft.tasks.classification.data import read_split
from polygraft.tasks.classification.encoding import encoder_of, predict
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.language.denoising import denoising_of_adapter
from polygraft.training.phases import phase

ROWS = 300


def check(job: ClassificationJob, classifier: model.Classifier) -> dict[str, Any]:
    """`parent_task`: macro-F1 of the parent's own head on its own held-out rows, with its LoRA
    before and the child's after; left out when they are not on this machine. `denoising`: nats a
    piece on dev texts, of the bare backbone and with the adapter; left out when the backbone cannot
    write the language. Empty for a head on the frozen backbone, which forgets nothing."""
    record: dict[str, Any] = {}
    if job.recipe.strategy == "head":
        return record
    texts = thinned(job.splits.dev.texts, ROWS)
    with phase("what was forgotten", 2) as advance:
        losses = denoising_of_adapter(
            classifier.adapted, job.backbone, encoder_of(job), texts, job.recipe.languages[0]
        )
        advance(1)
        task = _parent_task(job, job.parent, classifier) if job.parent else None
        advance(1)
    if losses:
        record["denoising"] = losses
    if task:
        record["parent_task"] = task
    return record


def _parent_task(
    job: ClassificationJob, parent: Path, classifier: model.Classifier
) -> dict[str, Any] | None:
    """Figures of the parent's own task, before and after; None when its rows are not on this
    machine."""
    recipe, manifest = parent / LAYOUT.recipe, load_manifest(parent, ClassificationManifest)
    split = read_split(recipe, "test") or read_split(recipe, "dev")
    if split is None:
        return None
    head = nn.Linear(classifier.head.in_features, len(manifest.labels))
    tensors = load_file(parent / LAYOUT.head)
    head.load_state_dict({name: tensors[name] for name in ("weight", "bias")})
    before = model.build(
        job.recipe, job.backbone, job.sites, manifest.labels, None, parent, manifest.labels
    )
    record: dict[str, Any] = {"parent": manifest.named, "rows": len(split)}
    for when, candidate in (("before", before), ("after", classifier)):
        predicted = predict(candidate, encoder_of(job), split.texts, manifest.labels, head)
        record[when] = bootstrap(split.labels, [predicted], macro_f1).record()
    return record
