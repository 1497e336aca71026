"""An embedding recipe made ready for training: pairs read and checked, parent found, sites
picked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polygraft.adapters.library import Library
from polygraft.architectures.registry import encoder_config
from polygraft.errors import Gathered
from polygraft.tasks.embedding.recipe import EmbeddingRecipe
from polygraft.tasks.translation.data import Pair, PairSplits, load_pairs
from polygraft.training.key import run_key
from polygraft.training.parents import find_parent, settle_lora
from polygraft.training.sites import graph_sites


@dataclass(frozen=True)
class EmbeddingJob:
    """See `tasks.training.Job`. `dimensions`: the lengths of its vectors, the whole one first."""

    recipe: EmbeddingRecipe
    file: Path
    backbone: Path
    sites: list[str]
    pairs: PairSplits
    parent: Path | None
    dimensions: list[int]

    @property
    def key(self) -> str:
        """Hash of recipe, backbone, parent and pairs."""
        parents = [self.parent] if self.parent else []
        return run_key(self.recipe, self.backbone, parents, self.pairs.listed)

    @property
    def stack(self) -> tuple[Path, ...]:
        return ()

    @property
    def seeds(self) -> list[int]:
        return self.recipe.training.seeds if self.recipe.strategy == "lora" else [0]

    @property
    def rows(self) -> dict[str, int]:
        return self.pairs.counts

    @property
    def leaks(self) -> dict[str, Any]:
        return self.pairs.leaks

    @property
    def data(self) -> list[dict[str, Any]]:
        return self.pairs.sources

    @property
    def doubts(self) -> list[str]:
        return []

    @property
    def answers(self) -> list[str]:
        return [f"a vector of {', '.join(map(str, self.dimensions))} values"]

    def held_out(self, split: str) -> dict[str, list[Pair]]:
        """Pairs of dev or test by their languages, `en-yo`."""
        groups: dict[str, list[Pair]] = {}
        for pair in getattr(self.pairs, split):
            groups.setdefault("-".join(pair.languages), []).append(pair)
        return groups


def prepare(
    recipe: EmbeddingRecipe,
    file: Path,
    backbone: Path,
    *,
    library: Library | None = None,
    allow_leak: str | None = None,
) -> EmbeddingJob:
    """See `tasks.training.Prepare`."""
    sites = graph_sites(backbone)
    whole = int(encoder_config(backbone)["hidden_size"])
    longest = max(recipe.dimensions, default=whole)
    gathered = Gathered(
        str(file),
        [f"dimensions: {longest}, and the backbone's vectors have {whole} values"]
        if longest > whole
        else [],
    )
    with gathered.step():
        parent = find_parent(recipe, file, backbone, library, other_task="gives no vectors")
        recipe = settle_lora(recipe, file, parent, sites)
    with gathered.step():
        pairs = load_pairs(recipe, file.resolve().parent, allow_leak=allow_leak)
    gathered.raise_any()
    shorter = sorted({d for d in recipe.dimensions if d < whole}, reverse=True)
    return EmbeddingJob(
        recipe=recipe,
        file=file,
        backbone=backbone,
        sites=sites,
        pairs=pairs,
        parent=parent,
        dimensions=[whole, *shorter],
    )
