"""The rows of another adapter that a recipe learns from (`source`): read from its recipe, or from
the vectors it shares.

Strategy `head` takes the vectors where the adapter shares them: they are there on every machine,
and nothing has to be read or encoded. LoRA needs the rows themselves, and so does a head on a
stack, under which vectors are others. Does not: decide how much the rows count (see
`transfer.mixing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.adapters.format import LAYOUT, Manifest, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.folder import fingerprint, fits
from polygraft.data.splits import Split, Splits
from polygraft.errors import DataError, RecipeError
from polygraft.tasks.classification.data import read_split
from polygraft.tasks.classification.label_map import map_problems, own_names
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.shared_vectors import (
    Ids,
    SharedVectors,
    id_hashes,
    read_vectors,
)
from polygraft.training.parents import find_adapter

Rows = Split | SharedVectors
LEAST_LABELS = 2  # that a source shares with the recipe


def read_source_rows(
    recipe: ClassificationRecipe,
    file: Path,
    library: Library | None,
    backbone: Path,
    splits: Splits,
    data: list[dict[str, Any]],
) -> Rows | None:
    """The rows of the adapter that `source` names, with the labels that this recipe has for them;
    None where it names none. What `Splits.sources` would list of them is added to `data`.

    Raises `RecipeError` when they cannot be had here or have other labels, and `DataError` when one
    is a translation of a row this adapter is scored on, unless the recipe drops what leaks.
    """
    options = recipe.source
    if options is None:
        return None
    folder = find_adapter(
        options.adapter, file, library, "source.adapter", (LAYOUT.manifest, LAYOUT.recipe)
    )
    needs_text = recipe.strategy != "head" or bool(recipe.stack)
    rows: Rows | None = None if needs_text else shared_rows(folder, backbone, data)
    if rows is None:
        rows = read_split(folder / LAYOUT.recipe, "train", data)
    if rows is None:
        raise RecipeError(str(file), [_not_here(recipe, options.adapter, needs_text)])
    theirs = sorted(set(rows.labels))
    problems = map_problems(splits.labels, theirs, options.labels)
    rows = rows.relabelled(own_names(splits.labels, options.labels))
    rows = without_translations(rows, recipe, options.adapter, splits)
    if not problems and len(set(rows.labels)) < LEAST_LABELS:
        problems = [
            f"its rows have {', '.join(theirs)}; fewer than {LEAST_LABELS} labels of this recipe "
            f"({', '.join(splits.labels)}) are left; map them, or choose another source"
        ]
    if problems:
        raise RecipeError(
            str(file),
            [f"source.labels: {problem} ({options.adapter})" for problem in problems],
        )
    return rows


def shared_rows(
    folder: Path, backbone: Path, data: list[dict[str, Any]] | None = None
) -> SharedVectors | None:
    """The vectors that the adapter in `folder` shares; None where it is not trained, shares none,
    or was made for another backbone. Raises `AdapterError` for a broken file."""
    if not (folder / LAYOUT.manifest).is_file():
        return None
    manifest = load_manifest(folder)
    if not isinstance(manifest, ClassificationManifest):
        return None
    if not fits(manifest.backbone, fingerprint(backbone)):
        return None
    rows = read_vectors(folder, manifest)
    if rows is not None and data is not None:
        data.append(_record(manifest, len(rows)))
    return rows


def without_translations(
    rows: Rows, recipe: ClassificationRecipe, source: str, splits: Splits
) -> Rows:
    """The source's rows less those whose id a dev or test row has too, where the recipe drops what
    leaks; else raises `DataError` when there are any."""
    ids = ids_of(rows)
    held_out = [i for split in (splits.dev, splits.test) if split for i in split.ids]
    shared = np.flatnonzero(np.isin(ids, id_hashes(held_out)))
    if not len(shared):
        return rows
    if recipe.data.on_leak == "drop":
        return rows.without(set(shared.tolist()))
    raise DataError(
        f"data of {recipe.name}",
        [
            f"source.adapter: {len(shared)} rows of {source} are translations of dev or test rows, "
            "by id; leave them out with data.on_leak: drop"
        ],
    )


def ids_of(rows: Rows) -> Ids:
    """Hashes of the rows' ids; empty where they have none."""
    return rows.ids if isinstance(rows, SharedVectors) else id_hashes(rows.ids)


def _record(manifest: Manifest, rows: int) -> dict[str, Any]:
    """As `Splits.sources` lists what was read. The licences are those of the rows that the vectors
    were made of."""
    trained_on = [entry for entry in manifest.data if entry.get("split") == "train"]
    licences: Sequence[str] = sorted({str(entry.get("licence")) for entry in trained_on})
    return {
        "split": "train",
        "source": f"{LAYOUT.vectors} of {manifest.named}",
        "rows": rows,
        "sha256": manifest.files[LAYOUT.vectors],
        "licence": "; ".join(licences) or "unknown",
    }


def _not_here(recipe: ClassificationRecipe, source: str, needs_text: bool) -> str:
    if not needs_text:
        return (
            f"source.adapter: the rows of {source} cannot be read on this machine, and it shares "
            "no vectors of them for this backbone; where its data is, `polygraft adapters "
            f"vectors {source}` writes them"
        )
    why = "on a stack" if recipe.strategy == "head" else f"for strategy {recipe.strategy}"
    return (
        f"source.adapter: the rows of {source} cannot be read on this machine, and {why} its "
        "vectors are not enough; with strategy: head and no stack they are"
    )
