"""A classifier's recipe made ready for training: data read and checked, the adapters it builds on
found, sites picked. What `--check` builds and `train` runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from transformers import PreTrainedModel

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import Encoded, TextEncoder, load_encoder
from polygraft.data.augment import augmented
from polygraft.data.splits import Split, Splits
from polygraft.errors import Gathered, RecipeError
from polygraft.tasks.classification import model
from polygraft.tasks.classification.data import check_parent, load_splits, read_split
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.serving import Floats
from polygraft.training.key import run_key
from polygraft.training.parents import find_language_adapter, find_parent, with_lora_of
from polygraft.training.sites import graph_sites, pick_sites
from polygraft.training.vectors import Vectors, mean_over_windows, sentence_vectors

SCORING_BATCH = 64


@dataclass(frozen=True)
class ClassificationJob:
    """See `tasks.training.Job`. `swapped_stack` is the recipe's `exchange`: what takes the place of
    `stack` on the test rows. `tasks` are the splits of the recipe's further tasks by name. `data`
    lists every file it learns from or is scored on, as `Splits.sources` does. `vector_cache` holds
    vectors of texts, by the parent and the stack they were read with; jobs made from this one share
    it."""

    recipe: ClassificationRecipe
    file: Path
    backbone: Path
    sites: list[str]
    splits: Splits
    parent: Path | None
    parent_labels: list[str] | None
    parent_rows: Split | None
    allow_leak: str | None = None
    stack: tuple[Path, ...] = ()
    swapped_stack: tuple[Path, ...] = ()
    source_rows: Split | None = None
    tasks: dict[str, Splits] = field(default_factory=dict)
    data: list[dict[str, Any]] = field(default_factory=list)
    vector_cache: dict[tuple[Path | None, tuple[Path, ...]], dict[str, Any]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def transfers(self) -> bool:
        """Whether training is given more than the target's rows and the backbone. Zero-shot does
        not count: it has no rows of the target, so there is no gain to measure."""
        builds_on_others = bool(self.parent or self.source_rows or self.tasks or self.stack)
        return builds_on_others and self.recipe.strategy != "zero-shot"

    def target_only(self) -> ClassificationJob:
        """The job without what comes from elsewhere: what a gain from transfer is measured
        against."""
        return replace(
            self,
            parent=None,
            parent_labels=None,
            parent_rows=None,
            source_rows=None,
            tasks={},
            stack=(),
            swapped_stack=(),
        )

    def train_rows(self, seed: int) -> Split:
        """The target's rows that the run with `seed` is trained on, altered copies included."""
        data = self.recipe.data
        return augmented(self.splits.train.few(data.shots, seed), data.augment, seed)

    @property
    def key(self) -> str:
        """Hash of recipe, backbone, the adapters it builds on and every row: its own, the source's,
        the other tasks'."""
        adapters = (*([self.parent] if self.parent else []), *self.stack)
        parts = list[Split | None]()
        for splits in (self.splits, *self.tasks.values()):
            parts += [splits.train, splits.dev, splits.test]
        parts.append(self.source_rows)
        rows = [[part.texts, part.labels, part.ids] if part else [] for part in parts]
        return run_key(self.recipe, self.backbone, adapters, rows)

    @property
    def seeds(self) -> list[int]:
        return self.recipe.training.seeds

    @property
    def rows(self) -> dict[str, int]:
        return {
            name: len(split)
            for name in ("train", "dev", "test")
            if (split := getattr(self.splits, name))
        }

    @property
    def leaks(self) -> dict[str, Any]:
        return self.splits.leaks

    @property
    def answers(self) -> list[str]:
        return self.splits.labels

    @property
    def held_out(self) -> tuple[str, Split]:
        """The split that figures are reported on, and its name: test, or dev when there is no
        test."""
        return ("test", self.splits.test) if self.splits.test else ("dev", self.splits.dev)


def prepare(
    recipe: ClassificationRecipe,
    file: Path,
    backbone: Path,
    *,
    allow_leak: str | None = None,
) -> ClassificationJob:
    """Check everything that can be checked without training `recipe`, read from `file`. Raises
    `RecipeError`, `DataError` or `AdapterError`."""
    folder, sites = file.resolve().parent, graph_sites(backbone)
    parent, parent_labels, parent_rows, splits, source_rows = None, None, None, None, None
    data = list[dict[str, Any]]()
    gathered = Gathered(str(file))
    with gathered.step():
        parent = find_parent(
            recipe,
            file,
            backbone,
            other_task="translates; a classifier starts from a classifier",
        )
        if parent:
            recipe = with_lora_of(recipe, file, parent, sites)
        pick_sites(recipe.lora, sites)
    with gathered.step():
        splits = load_splits(recipe, folder, allow_leak=allow_leak)
        data += splits.sources
    with gathered.step():
        if parent and splits:
            parent_labels = load_manifest(parent, ClassificationManifest).labels
            parent_rows = read_split(parent / LAYOUT.recipe, "train")
            check_parent(recipe, parent.name, parent_rows, splits)
    with gathered.step():
        stack, swapped_stack = (
            tuple(find_language_adapter(name, folder, backbone) for name in names)
            for names in (recipe.stack, recipe.exchange)
        )
    with gathered.step():
        if recipe.source and splits:
            source_rows = _source_rows(recipe, folder, splits, data)
    with gathered.step():
        tasks = {name: _task(name, folder, allow_leak) for name in recipe.tasks}
        for task in tasks.values():
            data += task.sources
    gathered.raise_any()
    assert splits is not None
    return ClassificationJob(
        recipe=recipe,
        file=file,
        backbone=backbone,
        sites=sites,
        splits=splits,
        parent=parent,
        parent_labels=parent_labels,
        parent_rows=parent_rows,
        allow_leak=allow_leak,
        stack=stack,
        swapped_stack=swapped_stack,
        source_rows=source_rows,
        tasks=tasks,
        data=data,
    )


def _source_rows(
    recipe: ClassificationRecipe, folder: Path, splits: Splits, sources: list[dict[str, Any]]
) -> Split:
    """The rows of the recipe that `source` names. Raises `RecipeError` when there are none or they
    have other labels, and `DataError` when one is a translation of a row this adapter is scored
    on."""
    assert recipe.source
    name = recipe.source.adapter
    rows = read_split(_recipe_of(name, folder, "source.adapter"), "train", sources)
    if rows is None or not set(rows.labels) <= set(splits.labels):
        why = (
            "cannot be read on this machine"
            if rows is None
            else f"have labels {sorted(set(rows.labels))}"
        )
        raise RecipeError(
            str(folder / LAYOUT.recipe), [f"source.adapter: the rows of {name} {why}"]
        )
    check_parent(recipe, name, rows, splits)
    return rows


def _task(name: str, folder: Path, allow_leak: str | None) -> Splits:
    """The splits of the classifier `name`, one of the recipe's `tasks`."""
    file = _recipe_of(name, folder, "tasks")
    recipe = load_recipe(file)
    if not isinstance(recipe, ClassificationRecipe):
        raise RecipeError(str(folder / LAYOUT.recipe), [f"tasks: {name} is not a classifier"])
    return load_splits(recipe, file.parent, allow_leak=allow_leak)


def _recipe_of(name: str, folder: Path, field: str) -> Path:
    file = folder.parent / name / LAYOUT.recipe
    if not file.is_file():
        raise RecipeError(
            str(folder / LAYOUT.recipe),
            [f"{field}: no {LAYOUT.recipe} of {name!r} in {folder.parent}"],
        )
    return file


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
        vectors = sentence_vectors(backbone, encoder_of(job), new, unit=False)
        cached.update(zip(new, vectors, strict=True))
    return np.array([cached[text] for text in texts])


def batches_of(rows: list[Encoded], encoder: TextEncoder) -> list[dict[str, Any]]:
    """Padded batches in the given order."""
    return [encoder.pad(rows[i : i + SCORING_BATCH]) for i in range(0, len(rows), SCORING_BATCH)]


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
