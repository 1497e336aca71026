"""A translation recipe made ready for training: pairs read and checked, parent found, sites
picked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from polygraft.adapters.format import load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.conventions import Conventions
from polygraft.architectures.target_tokenizer import TargetTokenizer, load_target_tokenizer
from polygraft.architectures.text import TextEncoder, load_encoder
from polygraft.data.reading import thinned
from polygraft.errors import Gathered, RecipeError
from polygraft.tasks.translation.data import Pair, PairSplits, load_pairs, read_monolingual
from polygraft.tasks.translation.recipe import TranslationRecipe
from polygraft.training.key import run_key
from polygraft.training.parents import find_parent, find_translation_adapter, settle_lora
from polygraft.training.sites import decoder_graph_sites, encoder_prefix, graph_sites


@dataclass(frozen=True)
class TranslationJob:
    """See `tasks.training.Job`. `sites` are all that LoRA may sit on, by name in the whole model;
    `monolingual` is the text to translate back, empty where the recipe asks for none."""

    recipe: TranslationRecipe
    file: Path
    backbone: Path
    sites: list[str]
    pairs: PairSplits
    parent: Path | None
    monolingual: list[str]
    stack: tuple[Path, ...] = ()

    @property
    def key(self) -> str:
        """Hash of recipe, backbone, the adapters it builds on, pairs and the text to translate
        back."""
        adapters = (*([self.parent] if self.parent else []), *self.stack)
        return run_key(self.recipe, self.backbone, adapters, [*self.pairs.listed, self.monolingual])

    @property
    def seeds(self) -> list[int]:
        return self.recipe.training.seeds

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
        return [" to ".join(direction) for direction in self.recipe.directions]

    @cached_property
    def tokenizers(self) -> tuple[TextEncoder, TargetTokenizer]:
        """What encodes texts for the encoder, and what encodes and decodes the decoder's."""
        return load_encoder(self.backbone), load_target_tokenizer(self.backbone)

    def pairs_of(self, split: str) -> dict[tuple[str, str], list[Pair]]:
        """Pairs of dev or test by direction, thinned as the recipe says."""
        pairs: list[Pair] = getattr(self.pairs, split)
        most = getattr(self.recipe.training, f"{split}_rows")
        both_ways = [*pairs, *(pair.reversed() for pair in pairs)]
        return {
            direction: thinned([pair for pair in both_ways if pair.languages == direction], most)
            for direction in self.recipe.directions
        }


def _unknown_languages(recipe: TranslationRecipe, conventions: Conventions) -> list[str]:
    """A problem for each part of the recipe that has a language which the backbone cannot write, or
    cannot be told to read.

    The training pairs may be of more languages than the adapter, and with `both_ways` they are
    learnt both ways.
    """
    pairs = [(files.source, files.target) for files in recipe.data.train]
    if recipe.both_ways:
        pairs += [(target, source) for source, target in pairs]
    of_adapter = conventions.unknown(recipe.directions)
    of_pairs = [one for one in conventions.unknown(pairs) if one not in of_adapter]
    return [
        f"{field}: the backbone's decoder has no tag for {', '.join(unknown)}; it has "
        f"{conventions.listed()}"
        for field, unknown in (("languages", of_adapter), ("data.train", of_pairs))
        if unknown
    ]


def prepare(
    recipe: TranslationRecipe,
    file: Path,
    backbone: Path,
    *,
    library: Library | None = None,
    allow_leak: str | None = None,
) -> TranslationJob:
    """See `tasks.training.Prepare`."""
    folder = file.resolve().parent
    conventions = load_target_tokenizer(backbone).conventions
    written = decoder_graph_sites(backbone)
    prefix = encoder_prefix(written)
    sites = [*(prefix + name for name in graph_sites(backbone)), *written]
    gathered = Gathered(str(file), _unknown_languages(recipe, conventions))
    with gathered.step():
        parent = find_parent(recipe, file, backbone, library, other_task="does not translate")
        recipe = settle_lora(recipe, file, parent, sites)
    with gathered.step():
        stack = tuple(
            find_translation_adapter(name, file, library, backbone) for name in recipe.stack
        )
        _check_parents_stack(file, parent, stack)
    with gathered.step():
        pairs = load_pairs(recipe, folder, allow_leak=allow_leak)
    with gathered.step():
        monolingual = read_monolingual(recipe, folder)
    gathered.raise_any()
    return TranslationJob(
        recipe=recipe,
        file=file,
        backbone=backbone,
        sites=sites,
        pairs=pairs,
        parent=parent,
        monolingual=monolingual,
        stack=stack,
    )


def _check_parents_stack(file: Path, parent: Path | None, stack: Sequence[Path]) -> None:
    """Raises `RecipeError` where the parent was trained on top of others than `stack`: its LoRA is
    what was missing there."""
    if parent is None:
        return
    theirs, ours = load_manifest(parent).stack, [load_manifest(one).named for one in stack]
    if theirs != ours:
        raise RecipeError(
            str(file),
            [
                f"stack: parent {parent.name} was trained on top of {_listed(theirs)}, here it is "
                f"{_listed(ours)}; a child keeps its parent's"
            ],
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "the bare backbone"
