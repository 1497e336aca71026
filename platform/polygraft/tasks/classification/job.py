"""A classifier's recipe made ready for training: data read and checked, the adapters it builds on
found, sites picked. What `--check` builds and `train` runs. Without torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.data.augment import augmented
from polygraft.data.splits import Split, Splits
from polygraft.errors import Gathered, RecipeError
from polygraft.tasks.classification.data import check_parent, load_splits, read_split
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.shared_vectors import SharedVectors
from polygraft.tasks.classification.source_rows import read_source_rows
from polygraft.tasks.recipe import load_recipe
from polygraft.training.key import run_key
from polygraft.training.parents import find_adapter, find_language_adapter, find_parent, settle_lora
from polygraft.training.sites import graph_sites
from polygraft.transfer import parallel


@dataclass(frozen=True)
class ClassificationJob:
    """See `tasks.training.Job`. `swapped_stack` is the recipe's `exchange`: what takes the place of
    `stack` on the test rows. `source_rows` are the rows themselves, or what their adapter shares of
    them. `tasks` are the splits of the recipe's further tasks by name. `data`
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
    source_rows: Split | SharedVectors | None = None
    library: Library | None = None
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

    def drawn_rows(self, seed: int) -> Split:
        """The target's training rows that the run with `seed` draws: all, or the recipe's shots."""
        return self.splits.train.few(self.recipe.data.shots, seed)

    def train_rows(self, seed: int) -> Split:
        """The target's rows that the run with `seed` is trained on, altered copies included."""
        return augmented(self.drawn_rows(seed), self.recipe.data.augment, seed)

    @property
    def key(self) -> str:
        """Hash of recipe, backbone, the adapters it builds on and every row: its own, the source's,
        the other tasks'."""
        adapters = (*([self.parent] if self.parent else []), *self.stack)
        parts = list[Split | SharedVectors | None]()
        for splits in (self.splits, *self.tasks.values()):
            parts += [splits.train, splits.dev, splits.test]
        parts.append(self.source_rows)
        rows = [part.content if part else [] for part in parts]
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
    def doubts(self) -> list[str]:
        return self.splits.doubts

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
    library: Library | None = None,
    allow_leak: str | None = None,
) -> ClassificationJob:
    """See `tasks.training.Prepare`."""
    folder, sites = file.resolve().parent, graph_sites(backbone)
    parent, parent_labels, parent_rows, splits, source_rows = None, None, None, None, None
    data = list[dict[str, Any]]()
    gathered = Gathered(str(file))
    with gathered.step():
        parent = find_parent(
            recipe,
            file,
            backbone,
            library,
            other_task="translates; a classifier starts from a classifier",
        )
        recipe = settle_lora(recipe, file, parent, sites)
    with gathered.step():
        splits = load_splits(recipe, folder, allow_leak=allow_leak)
        data += splits.sources
    with gathered.step():
        if parent and splits:
            parents = load_manifest(parent, ClassificationManifest)
            parents.require_plain_head()
            parent_labels = parents.labels
            parent_rows = read_split(parent / LAYOUT.recipe, "train")
            check_parent(recipe, parent.name, parent_rows, splits)
    with gathered.step():
        stack, swapped_stack = (
            tuple(find_language_adapter(name, file, library, backbone) for name in names)
            for names in (recipe.stack, recipe.exchange)
        )
    with gathered.step():
        if splits:
            source_rows = read_source_rows(recipe, file, library, backbone, splits, data)
    with gathered.step():
        tasks = {name: _task(name, file, library, allow_leak) for name in recipe.tasks}
        for task in tasks.values():
            data += task.sources
    gathered.raise_any()
    assert splits is not None
    job = ClassificationJob(
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
        library=library,
        tasks=tasks,
        data=data,
    )
    parallel.check(job)
    return job


def _task(name: str, file: Path, library: Library | None, allow_leak: str | None) -> Splits:
    """The splits of the classifier `name`, one of the recipe's `tasks`."""
    folder = find_adapter(name, file, library, "tasks", holds=(LAYOUT.recipe,))
    recipe = load_recipe(folder / LAYOUT.recipe)
    if not isinstance(recipe, ClassificationRecipe):
        raise RecipeError(str(file), [f"tasks: {name} is not a classifier"])
    return load_splits(recipe, folder, allow_leak=allow_leak)
