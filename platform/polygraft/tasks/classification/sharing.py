"""Vectors added to an adapter that was trained without them, from its recipe's rows."""

from __future__ import annotations

import shutil
from pathlib import Path

from polygraft.adapters.format import LAYOUT, Manifest, hashes_of, load_adapter, load_manifest
from polygraft.adapters.publishing import publish, reading, staging
from polygraft.architectures.folder import fingerprint
from polygraft.errors import RecipeError
from polygraft.tasks.classification.card import ClassificationCard
from polygraft.tasks.classification.data import load_splits
from polygraft.tasks.classification.encoding import share_vectors
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.recipe import load_recipe


def add_vectors(folder: Path, backbone: Path) -> Manifest:
    """Write the vectors of its training rows into the folder of a classifier, and name them in its
    manifest and card; returns the manifest. The version stays. Nothing is trained.

    Raises `AdapterError` for an adapter that does not fit the backbone or does not classify,
    `RecipeError` where its recipe forbids it or is not its own, `DataError` for rows that cannot be
    read here.
    """
    load_adapter(folder, backbone=fingerprint(backbone))
    manifest = load_manifest(folder, ClassificationManifest)
    file = folder / LAYOUT.recipe
    recipe = load_recipe(file)
    assert isinstance(recipe, ClassificationRecipe)
    if not recipe.data.share_vectors:
        raise RecipeError(
            str(file), ["data.share_vectors: false, so no vectors of its rows are written"]
        )
    job = _job(recipe, file, backbone, manifest)
    with staging(folder) as staged:
        with reading(folder) as home:
            for name in LAYOUT.names():
                if (home / name).is_file():
                    shutil.copyfile(home / name, staged / name)
        share_vectors(job, _kept_seed(manifest), staged)
        manifest = manifest.model_copy(update={"files": hashes_of(staged)})
        (staged / LAYOUT.manifest).write_bytes(manifest.as_file())
        ClassificationCard().write(manifest, recipe, staged / LAYOUT.card)
        publish(staged, folder)
    return manifest


def _job(
    recipe: ClassificationRecipe, file: Path, backbone: Path, manifest: ClassificationManifest
) -> ClassificationJob:
    """The recipe's rows made ready, leaks settled as they were when it was trained; what it builds
    on is not looked for."""
    done = str(manifest.metrics.get("leaks", {}).get("done", ""))
    allowed = done.removeprefix("allowed: ") if done.startswith("allowed: ") else None
    splits = load_splits(recipe, file.resolve().parent, allow_leak=allowed)
    if splits.labels != manifest.labels:
        raise RecipeError(
            str(file),
            [f"its rows have labels {splits.labels}, the adapter has {manifest.labels}; train it"],
        )
    return ClassificationJob(
        recipe=recipe,
        file=file,
        backbone=backbone,
        sites=[],
        splits=splits,
        parent=None,
        parent_labels=None,
        parent_rows=None,
    )


def _kept_seed(manifest: ClassificationManifest) -> int:
    """The seed of the run that was kept: the best on dev."""
    seeds = manifest.metrics.get("seeds", {"0": {"dev_macro_f1": 0.0}})
    return int(max(seeds, key=lambda seed: seeds[seed]["dev_macro_f1"]))
