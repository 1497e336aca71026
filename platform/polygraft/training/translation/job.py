"""A translation recipe made ready: pairs read and checked, parent found, sites picked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from polygraft.adapter import load_adapter
from polygraft.backbone import BackboneFiles, fingerprint
from polygraft.data import thinned
from polygraft.errors import RecipeError
from polygraft.pieces import Pieces
from polygraft.recipe import TranslationRecipe
from polygraft.text import TextEncoder, load_encoder
from polygraft.training import model
from polygraft.training.job import check_lora, decoder_graph_sites, find_adapter, graph_sites
from polygraft.training.key import run_key
from polygraft.training.translation.pairs import Pair, PairSplits, load_pairs, read_monolingual


@dataclass(frozen=True)
class TranslationJob:
    """What `--check` builds and `train` runs. `sites`: every site that LoRA may sit on, by name in the whole model;
    `monolingual`: the text to translate back, empty where the recipe asks for none."""

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
        pairs = [pair for part in (self.pairs.train, self.pairs.dev, self.pairs.test) for pair in (*part, None)]
        rows = [[pair.source, pair.target, *pair.languages] if pair else [] for pair in pairs]
        return run_key(self.recipe, self.backbone, [self.parent] if self.parent else [], [*rows, self.monolingual])

    @cached_property
    def texts(self) -> tuple[TextEncoder, Pieces]:
        """How the backbone reads, and how it writes."""
        return load_encoder(self.backbone), Pieces(BackboneFiles(self.backbone).decoder_tokenizer)

    def rows(self, split: str) -> dict[tuple[str, str], list[Pair]]:
        """Pairs of dev or test by direction, thinned as the recipe says."""
        there: list[Pair] = getattr(self.pairs, split)
        most = getattr(self.recipe.training, f"{split}_rows")
        every = [*there, *(p.turned() for p in there)]
        return {d: thinned([p for p in every if p.languages == d], most) for d in self.recipe.directions}


def prepare(recipe: TranslationRecipe, file: Path, backbone: Path, *, allow_leak: str | None = None) -> TranslationJob:
    """Check everything that can be checked without training. Raises `RecipeError`, `DataError`, `BackboneError` or
    `AdapterError`."""
    folder = file.resolve().parent
    files = BackboneFiles(backbone)
    files.require(files.decoder_tokenizer)
    known = Pieces(files.decoder_tokenizer).languages
    unknown = sorted({language for direction in recipe.directions for language in direction} - set(known))
    if unknown:
        raise RecipeError(
            str(file), [f"languages: the backbone's decoder has no tag for {', '.join(unknown)}; it has {', '.join(known)}"]
        )
    sites = [*(f"encoder.{name}" for name in graph_sites(backbone)), *decoder_graph_sites(backbone)]
    parent = None
    if recipe.parent:
        parent = find_adapter(recipe.parent, folder, "parent")
        if not load_adapter(parent, backbone=fingerprint(backbone)).manifest.directions:
            raise RecipeError(str(file), [f"parent: {recipe.parent!r} does not translate"])
        check_lora(recipe, file, parent, sites)
    model.pick_sites(recipe.lora, sites)
    pairs, monolingual = load_pairs(recipe, folder, allow_leak=allow_leak), read_monolingual(recipe, folder)
    return TranslationJob(recipe, file, backbone, sites, pairs, parent, monolingual)
