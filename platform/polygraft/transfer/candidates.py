"""Adapters that a recipe could learn from: those of the same task, by their labels, whose rows can
be had.

The same task: every label of the recipe is among the adapter's, by name or by a label map that is
guessed, or that the recipe gives in `source`. Of the others, one that has some of the labels is
named, with the map that would be needed. Rows can be had where the adapter shares vectors of them,
or where its recipe's data is on this machine. Without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library, open_library
from polygraft.architectures.folder import fingerprint, fits
from polygraft.data.splits import Split
from polygraft.errors import AdapterError, DataError, listed
from polygraft.tasks.classification.data import read_split
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.label_map import (
    LabelMap,
    as_line,
    guess,
    map_problems,
    own_names,
    partly,
)
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.recipe import SourceRows
from polygraft.tasks.classification.shared_vectors import SharedVectors, id_hashes
from polygraft.tasks.classification.source_rows import (
    LEAST_LABELS,
    ids_of,
    shared_rows,
    without_translations,
)

SHOWN = 5  # labels of an adapter, in a message


@dataclass(frozen=True)
class SourceAdapter:
    """An adapter in `folder` and its rows, with the recipe's labels for them. `renamed` is the
    label map that makes its labels the recipe's; empty where they are called the same.
    `shares_ids`: whether rows of it are translations of training rows, by id, so that ids tell
    which others are."""

    folder: Path
    manifest: ClassificationManifest
    renamed: LabelMap
    rows: Split | SharedVectors
    shares_ids: bool

    @property
    def name(self) -> str:
        return self.manifest.name


@dataclass(frozen=True)
class Candidates:
    """Those found, and why others of the same task are left out, by name. `others` are the labels
    of classifiers that have none of the recipe's, by name."""

    found: list[SourceAdapter] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)


def find_candidates(
    job: ClassificationJob, library: Library | None = None, source: SourceRows | None = None
) -> Candidates:
    """Adapters beside the recipe's own folder and in the library, as `parents.find_adapter` finds
    them. `source` is what the recipe says of one: its label map is taken as it is."""
    shelves = [Library(job.file.resolve().parent.parent), library or open_library()]
    candidates, seen = Candidates(), {job.recipe.name}
    for shelf in shelves:
        for name in shelf.names():
            if name in seen:
                continue
            seen.add(name)
            given = source.labels if source and Path(source.adapter).name == name else {}
            _consider(job, name, shelf.folder(name), given, candidates)
    return candidates


def _consider(
    job: ClassificationJob, name: str, folder: Path, given: LabelMap, candidates: Candidates
) -> None:
    """Add the adapter `name` in `folder` to the candidates, or why it is none of them. `given` is
    the label map that the recipe has for it; empty where it has none."""
    try:
        manifest = load_manifest(folder)
    except AdapterError:
        return  # what it is cannot be told
    if not isinstance(manifest, ClassificationManifest):
        return
    labels = job.splits.labels
    renamed: LabelMap | None = given or guess(labels, manifest.labels)
    if given and (problems := map_problems(labels, manifest.labels, given)):
        candidates.left_out[name] = f"source.labels: {'; '.join(problems)}"
        return
    if renamed is None:
        if why := _partly(labels, manifest.labels, name):
            candidates.left_out[name] = why
        else:
            candidates.others[name] = manifest.labels
        return
    if not fits(manifest.backbone, fingerprint(job.backbone)):
        candidates.left_out[name] = "made for another backbone"
        return
    try:
        rows = shared_rows(folder, job.backbone) or read_split(folder / LAYOUT.recipe, "train")
        if rows is None:
            candidates.left_out[name] = "shares no vectors, and its rows are not here"
            return
        rows = rows.relabelled(own_names(labels, renamed))
        shares_ids = bool(np.isin(ids_of(rows), id_hashes(job.splits.train.ids)).any())
        rows = without_translations(rows, job.recipe, name, job.splits)
    except (AdapterError, DataError) as error:
        candidates.left_out[name] = str(error)
        return
    if len(set(rows.labels)) < LEAST_LABELS:
        candidates.left_out[name] = (
            f"source.labels: its rows have fewer than {LEAST_LABELS} labels of this recipe"
        )
        return
    candidates.found.append(SourceAdapter(folder, manifest, renamed, rows, shares_ids))


def _partly(labels: Sequence[str], theirs: Sequence[str], name: str) -> str | None:
    """What an adapter lacks that has at least half of `labels`, and the line that would say what
    the others are called; None where it has fewer."""
    renamed, missing = partly(labels, theirs)
    if 2 * len(missing) > len(labels):
        return None
    used = {renamed.get(label, label) for label in labels if label not in missing}
    free = [label for label in theirs if label not in used]
    lacks = f"it has no label called {listed(missing)}"
    if not free:
        return lacks
    needed = renamed | dict.fromkeys(missing, " or ".join(free[:SHOWN]))
    return f"{lacks}; if one of its own means the same, say so with `{as_line(name, needed)}`"
