"""A tagger's recipe made ready for training: data read and checked, its parent found, sites picked.
What `--check` builds and `train` runs. Without torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polygraft.adapters.library import Library
from polygraft.errors import Gathered
from polygraft.tasks.tagging.data import load_splits
from polygraft.tasks.tagging.recipe import TaggingRecipe
from polygraft.tasks.tagging.rows import TaggedRow, TaggedSplits, drawn
from polygraft.training.key import run_key
from polygraft.training.parents import find_parent, settle_lora
from polygraft.training.sites import graph_sites


@dataclass(frozen=True)
class TaggingJob:
    """See `tasks.training.Job`. `state_cache` holds states of rows by the bare backbone, by split;
    jobs made from this one share it."""

    recipe: TaggingRecipe
    file: Path
    backbone: Path
    sites: list[str]
    splits: TaggedSplits
    parent: Path | None
    state_cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def stack(self) -> tuple[Path, ...]:
        return ()

    def alone(self) -> TaggingJob:
        """The job without what comes from elsewhere: what a gain from transfer is measured
        against."""
        recipe = self.recipe.model_copy(update={"parent": None, "strategy": "lora"})
        return replace(self, recipe=recipe, parent=None)

    def train_rows(self, seed: int) -> list[TaggedRow]:
        """The rows that the run with `seed` is trained on."""
        return drawn(self.splits.train, self.recipe.data.sentences, seed)

    @property
    def held_out(self) -> tuple[str, list[TaggedRow]]:
        """The split that figures are reported on, and its name: test, or dev when there is no
        test."""
        return ("test", self.splits.test) if self.splits.test else ("dev", self.splits.dev)

    @property
    def key(self) -> str:
        """Hash of recipe, backbone, parent and every row."""
        rows = [
            [[row.tokens, row.tags] for row in split]
            for split in (self.splits.train, self.splits.dev, self.splits.test or [])
        ]
        return run_key(self.recipe, self.backbone, [self.parent] if self.parent else [], rows)

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
    def data(self) -> list[dict[str, Any]]:
        return self.splits.sources

    @property
    def doubts(self) -> list[str]:
        return self.splits.doubts

    @property
    def answers(self) -> list[str]:
        return self.splits.tag_set.labels


def prepare(
    recipe: TaggingRecipe,
    file: Path,
    backbone: Path,
    *,
    library: Library | None = None,
    allow_leak: str | None = None,
) -> TaggingJob:
    """See `tasks.training.Prepare`."""
    sites, parent, splits = graph_sites(backbone), None, None
    gathered = Gathered(str(file))
    with gathered.step():
        parent = find_parent(
            recipe,
            file,
            backbone,
            library,
            other_task="does not tag; a tagger starts from a tagger",
        )
        recipe = settle_lora(recipe, file, parent, sites)
    with gathered.step():
        splits = load_splits(recipe, file.resolve().parent, allow_leak=allow_leak)
    gathered.raise_any()
    assert splits is not None
    return TaggingJob(recipe, file, backbone, sites, splits, parent)
