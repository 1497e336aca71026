"""A translation recipe made ready: pairs read and checked, parent found, sites picked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from polygraft.adapters.format import load_adapter
from polygraft.architectures.folder import BackboneFiles, fingerprint
from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import TextEncoder, load_encoder
from polygraft.data.reading import thinned
from polygraft.errors import RecipeError
from polygraft.tasks.translation.data import Pair, PairSplits, load_pairs, read_monolingual
from polygraft.tasks.translation.recipe import TranslationRecipe
from polygraft.training.key import run_key
from polygraft.training.parents import check_lora, find_adapter
from polygraft.training.sites import decoder_graph_sites, graph_sites, pick_sites


@dataclass(frozen=True)
class TranslationJob:
    """What `--check` builds and `train` runs. `sites`: every site that LoRA may sit on, by name in
    the whole model; `monolingual`: the text to translate back, empty where the recipe asks for
    none."""

    recipe: TranslationRecipe
    file: Path
    backbone: Path
    sites: list[str]
    pairs: PairSplits
    parent: Path | None
    monolingual: list[str]

    @property
    def key(self) -> str:
        """Hash of recipe, backbone, parent, pairs and the text to translate back."""
        pairs = [
            pair
            for part in (self.pairs.train, self.pairs.dev, self.pairs.test)
            for pair in (*part, None)
        ]
        rows = [[pair.source, pair.target, *pair.languages] if pair else [] for pair in pairs]
        return run_key(
            self.recipe,
            self.backbone,
            [self.parent] if self.parent else [],
            [*rows, self.monolingual],
        )

    @property
    def under(self) -> tuple[Path, ...]:
        return ()

    @property
    def seeds(self) -> list[int]:
        return self.recipe.training.seeds

    @property
    def rows(self) -> dict[str, int]:
        return {name: len(getattr(self.pairs, name)) for name in ("train", "dev", "test")}

    @property
    def leaks(self) -> dict[str, Any]:
        return self.pairs.leaks

    @property
    def data(self) -> list[dict[str, Any]]:
        return self.pairs.sources

    @property
    def answers(self) -> list[str]:
        return [" to ".join(direction) for direction in self.recipe.directions]

    @cached_property
    def texts(self) -> tuple[TextEncoder, TargetTokenizer]:
        """How the backbone reads, and how it writes."""
        return load_encoder(self.backbone), TargetTokenizer(
            BackboneFiles(self.backbone).decoder_tokenizer
        )

    def pairs_of(self, split: str) -> dict[tuple[str, str], list[Pair]]:
        """Pairs of dev or test by direction, thinned as the recipe says."""
        there: list[Pair] = getattr(self.pairs, split)
        most = getattr(self.recipe.training, f"{split}_rows")
        every = [*there, *(p.turned() for p in there)]
        return {
            d: thinned([p for p in every if p.languages == d], most) for d in self.recipe.directions
        }


def _languages_without_a_tag(recipe: TranslationRecipe, known: list[str]) -> list[str]:
    """A problem for each part of the recipe with a language that the decoder, which has tags for
    those `known`, cannot write.

    The training pairs may be of more languages than the adapter. Their target is written, and with
    `both_ways` their source.
    """
    written = {one.target for one in recipe.data.train}
    if recipe.both_ways:
        written |= {one.source for one in recipe.data.train}
    used = {"languages": set(recipe.languages), "data.train": written - set(recipe.languages)}
    return [
        f"{field}: the backbone's decoder has no tag for {', '.join(sorted(unknown))}; it has "
        f"{', '.join(known)}"
        for field, languages in used.items()
        if (unknown := languages - set(known))
    ]


def prepare(
    recipe: TranslationRecipe, file: Path, backbone: Path, *, allow_leak: str | None = None
) -> TranslationJob:
    """Check everything that can be checked without training. Raises `RecipeError`, `DataError`,
    `BackboneError` or `AdapterError`."""
    folder = file.resolve().parent
    files = BackboneFiles(backbone)
    files.require(files.decoder_tokenizer)
    if problems := _languages_without_a_tag(
        recipe, TargetTokenizer(files.decoder_tokenizer).languages
    ):
        raise RecipeError(str(file), problems)
    sites = [*(f"encoder.{name}" for name in graph_sites(backbone)), *decoder_graph_sites(backbone)]
    parent = None
    if recipe.parent:
        parent = find_adapter(recipe.parent, folder, "parent")
        if not load_adapter(parent, backbone=fingerprint(backbone)).manifest.directions:
            raise RecipeError(str(file), [f"parent: {recipe.parent!r} does not translate"])
        check_lora(recipe, file, parent, sites)
    pick_sites(recipe.lora, sites)
    pairs, monolingual = (
        load_pairs(recipe, folder, allow_leak=allow_leak),
        read_monolingual(recipe, folder),
    )
    return TranslationJob(recipe, file, backbone, sites, pairs, parent, monolingual)
