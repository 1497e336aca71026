"""Held-out rows that are translations of rows the parent, or another source, was trained on, or in
one language the same texts: where no id tells, the backbone's own vectors do (see `translations`).
Where training rows share ids, ids decide alone. Vectors are the serving graph's, so that `--check`
looks too; without torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.architectures.folder import BackboneFiles
from polygraft.data.reading import thinned
from polygraft.data.splits import Split
from polygraft.errors import DataError
from polygraft.runtime.engine import Engine
from polygraft.tasks.classification.shared_vectors import SharedVectors, id_hashes
from polygraft.tasks.classification.source_rows import ids_of, shared_rows
from polygraft.tasks.recipe import load_recipe
from polygraft.training.linear_head import unit
from polygraft.training.parents import find_adapter
from polygraft.transfer.translations import (
    HELD_OUT_ROWS,
    HONEST,
    TRAINING_ROWS,
    Partners,
    partners_of_splits,
)
from polygraft.transfer.vectors import read_vectors

if TYPE_CHECKING:
    from polygraft.tasks.classification.job import ClassificationJob

EXAMPLES, SHOWN = 2, 60  # pairs in a message; characters of a text


def check(job: ClassificationJob) -> None:
    """Raises `DataError` when dev or test look translated from the parent's training rows, or those
    of another source, unless the job allows leaks. Says nothing when neither those rows nor vectors
    of them are on this machine, or the backbone has no graph, or when the ids of training rows are
    shared: what the ids say was checked already."""
    shared = shared_rows(job.parent, job.backbone) if job.parent else None
    source_rows = job.source_rows or shared or job.parent_rows
    if source_rows is None or job.allow_leak is not None:
        return
    if np.isin(ids_of(source_rows), id_hashes(job.splits.train.ids)).any():
        return
    if not BackboneFiles(job.backbone).graph.is_file():
        return
    own = thinned(job.splits.train.texts, HELD_OUT_ROWS)
    held_out = held_out_texts(job, HELD_OUT_ROWS)
    theirs = None
    if isinstance(source_rows, Split):
        theirs = thinned(source_rows.texts, TRAINING_ROWS)
    every = [*own, *(theirs or ()), *(text for texts in held_out.values() for text in texts)]
    with closing(Engine(job.backbone, slots=1, window=job.recipe.training.max_length)) as engine:
        known = read_vectors(engine, every)
    if isinstance(source_rows, SharedVectors):
        trained = unit(source_rows.vectors)
    else:
        trained = np.array([known[text] for text in theirs or ()])
    name, languages = _source(job)
    one_language = speak_alike(languages, job.recipe.languages)
    found = partners_of_splits(
        trained,
        np.array([known[text] for text in own]),
        {split: np.array([known[text] for text in texts]) for split, texts in held_out.items()},
        one_language=one_language,
    )
    problems = [
        f"{split}: {verdict(partners, held_out[split], theirs, one_language=one_language)} that "
        f"{name} was trained on; split by message, a text and its translations on one side, or say "
        "why they may stay with --allow-leak REASON"
        for split, partners in found.items()
        if partners.are_translations
    ]
    if problems:
        raise DataError(f"data of {job.recipe.name}", problems)


def held_out_texts(job: ClassificationJob, most: int) -> dict[str, list[str]]:
    """At most so many texts of each split that is not trained on, evenly spread."""
    splits = (("dev", job.splits.dev), ("test", job.splits.test))
    return {name: thinned(split.texts, most) for name, split in splits if split}


def speak_alike(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a language is among both, whatever its region or script."""
    return bool({tag.split("-")[0] for tag in some} & {tag.split("-")[0] for tag in others})


def verdict(
    partners: Partners,
    held_out: Sequence[str],
    trained: Sequence[str] | None,
    *,
    one_language: bool,
) -> str:
    """What is wrong with a held-out split, with examples. `trained` are the texts of the training
    rows, where they are known."""
    examples = []
    for row, partner in partners.pairs[:EXAMPLES]:
        like = f" ~ {trained[partner][:SHOWN]!r}" if trained else ""
        examples.append(f"{held_out[row][:SHOWN]!r}{like}")
    what = "are the same texts as rows" if one_language else "look like translations of rows"
    return (
        f"{partners.share:.0f}% of its rows, {len(partners.pairs)} of {partners.rows}, {what} "
        f"(of an honest split at most {100 * HONEST:.0f}%), e.g. {'; '.join(examples)},"
    )


def _source(job: ClassificationJob) -> tuple[str, list[str]]:
    """What the source or the parent is called in a message, and its languages."""
    if job.recipe.source:
        name = job.recipe.source.adapter
        holds = (LAYOUT.manifest, LAYOUT.recipe)
        folder = find_adapter(name, job.file, job.library, "source.adapter", holds)
        return f"source {name}", _languages(folder)
    return f"parent {job.recipe.parent}", _languages(job.parent) if job.parent else []


def _languages(folder: Path) -> list[str]:
    """Of the adapter in `folder`, trained or not."""
    if (folder / LAYOUT.manifest).is_file():
        return load_manifest(folder).languages
    return load_recipe(folder / LAYOUT.recipe).languages
