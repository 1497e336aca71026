"""Adapters that a recipe could learn from: those of the same task, by their labels, whose rows can
be had.

The same task: every label of the recipe is among the adapter's, by name or by a label map that is
guessed. Rows can be had where the adapter shares vectors of them, or where its recipe's data is on
this machine. Without torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library, default_library
from polygraft.architectures.folder import fingerprint, fits
from polygraft.data.splits import Split
from polygraft.errors import AdapterError, DataError
from polygraft.tasks.classification.data import read_split
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.label_map import guess, own_names
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.shared_vectors import SharedVectors, id_hashes
from polygraft.tasks.classification.source_rows import (
    ids_of,
    shared_rows,
    without_translations,
)


@dataclass(frozen=True)
class SourceAdapter:
    """An adapter in `folder` and its rows, with the recipe's labels for them. `renamed` is the
    label map that makes its labels the recipe's; empty where they are called the same.
    `shares_ids`: whether rows of it are translations of training rows, by id, so that ids tell
    which others are."""

    folder: Path
    manifest: ClassificationManifest
    renamed: dict[str, str]
    rows: Split | SharedVectors
    shares_ids: bool

    @property
    def name(self) -> str:
        return self.manifest.name


@dataclass(frozen=True)
class Candidates:
    """Those found, and why others of the same task are left out, by name."""

    found: list[SourceAdapter] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def find_candidates(job: ClassificationJob, library: Library | None = None) -> Candidates:
    """Adapters beside the recipe's own folder and in the library, as `parents.find_adapter` finds
    them."""
    shelves = [Library(job.file.resolve().parent.parent), library or Library(default_library())]
    candidates, seen = Candidates(), {job.recipe.name}
    for shelf in shelves:
        for name in shelf.names():
            if name in seen:
                continue
            seen.add(name)
            _consider(job, shelf.root / name, candidates)
    return candidates


def _consider(job: ClassificationJob, folder: Path, candidates: Candidates) -> None:
    """Add the adapter in `folder` to the candidates, or why it is none of them."""
    try:
        manifest = load_manifest(folder)
    except AdapterError:
        return  # what it is cannot be told
    if not isinstance(manifest, ClassificationManifest):
        return
    labels = job.splits.labels
    renamed = guess(labels, manifest.labels)
    if renamed is None:
        return
    if not fits(manifest.backbone, fingerprint(job.backbone)):
        candidates.left_out[folder.name] = "made for another backbone"
        return
    try:
        rows = shared_rows(folder, job.backbone) or read_split(folder / LAYOUT.recipe, "train")
        if rows is None:
            candidates.left_out[folder.name] = "shares no vectors, and its rows are not here"
            return
        rows = rows.relabelled(own_names(labels, renamed))
        shares_ids = bool(np.isin(ids_of(rows), id_hashes(job.splits.train.ids)).any())
        rows = without_translations(rows, job.recipe, folder.name, job.splits)
    except (AdapterError, DataError) as error:
        candidates.left_out[folder.name] = str(error)
        return
    candidates.found.append(SourceAdapter(folder, manifest, renamed, rows, shares_ids))
