"""What a trained adapter does to what was there before: its parent's task, and the backbone's own
objective."""

from __future__ import annotations

from typing import Any

from safetensors.torch import load_file
from torch import nn

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.data.reading import thinned
from polygraft.reporting.intervals import bootstrap
from polygraft.tasks.classification import model
from polygraft.tasks.classification.data import read_split
from polygraft.tasks.classification.job import ClassificationJob, encoder_of, predict
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.language.denoising import denoising_of_adapter

ROWS = 300


def check(job: ClassificationJob, classifier: model.Classifier) -> dict[str, Any]:
    """`parent_task`: macro-F1 of the parent's own head on its own held-out rows, with its LoRA
    before and the child's after; left out when they are not on this machine. `denoising`: nats a
    piece on dev texts, of the bare backbone and with the adapter; left out when the backbone cannot
    write the language."""
    found: dict[str, Any] = {}
    texts = thinned(job.splits.dev.texts, ROWS)
    if losses := denoising_of_adapter(
        classifier.adapted, job.backbone, encoder_of(job), texts, job.recipe.languages[0]
    ):
        found["denoising"] = losses
    if job.parent and (task := _parent_task(job, classifier)):
        found["parent_task"] = task
    return found


def _parent_task(job: ClassificationJob, classifier: model.Classifier) -> dict[str, Any] | None:
    assert job.parent is not None
    recipe, manifest = job.parent / LAYOUT.recipe, load_manifest(job.parent, ClassificationManifest)
    split = read_split(recipe, "test") or read_split(recipe, "dev")
    if split is None:
        return None
    head = nn.Linear(classifier.head.in_features, len(manifest.labels))
    tensors = load_file(job.parent / LAYOUT.head)
    head.load_state_dict({name: tensors[name] for name in ("weight", "bias")})
    parent = model.build(
        job.recipe, job.backbone, job.sites, manifest.labels, None, job.parent, manifest.labels
    )
    encoder, record = encoder_of(job), {"parent": manifest.named, "rows": len(split)}
    for when, one in (("before", parent), ("after", classifier)):
        said = predict(one, encoder, split.texts, manifest.labels, head)
        record[when] = bootstrap(split.labels, [said], macro_f1).record()
    return record
