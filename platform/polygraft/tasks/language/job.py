"""A language recipe made ready: text read, cut into train and dev, sites picked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polygraft.adapters.format import load_adapter
from polygraft.architectures.folder import fingerprint
from polygraft.data.reading import read_texts, unreadable
from polygraft.errors import DataError, RecipeError
from polygraft.tasks.language.denoising import start_of
from polygraft.tasks.language.recipe import LanguageRecipe
from polygraft.training.key import run_key
from polygraft.training.parents import check_lora, find_adapter
from polygraft.training.sites import graph_sites, pick_sites


@dataclass(frozen=True)
class LanguageJob:
    """What `--check` builds and `train` runs. `start`: the decoder's tag for the language; None
    when it has none."""

    recipe: LanguageRecipe
    file: Path
    backbone: Path
    sites: list[str]
    train: list[str]
    dev: list[str]
    data: list[dict[str, Any]]
    parent: Path | None
    start: int | None

    @property
    def under(self) -> tuple[Path, ...]:
        return ()

    @property
    def seeds(self) -> list[int]:
        return [self.recipe.training.seed]

    @property
    def rows(self) -> dict[str, int]:
        return {"train": len(self.train), "dev": len(self.dev)}

    @property
    def leaks(self) -> dict[str, Any]:
        return {}

    @property
    def answers(self) -> list[str]:
        return self.recipe.languages

    @property
    def key(self) -> str:
        """Hash of recipe, backbone, parent and text."""
        return run_key(
            self.recipe, self.backbone, [self.parent] if self.parent else [], [self.train, self.dev]
        )


def prepare(recipe: LanguageRecipe, file: Path, backbone: Path) -> LanguageJob:
    """Check everything that can be checked without training. Raises `RecipeError`, `DataError`,
    `BackboneError` or `AdapterError`."""
    folder, sites, parent = file.resolve().parent, graph_sites(backbone), None
    if recipe.parent:
        parent = find_adapter(recipe.parent, folder, "parent")
        if load_adapter(parent, backbone=fingerprint(backbone)).manifest.task != "language":
            raise RecipeError(str(file), [f"parent: {recipe.parent!r} is not a language adapter"])
        check_lora(recipe, file, parent, sites)
    pick_sites(recipe.lora, sites)
    start = start_of(recipe.languages[0], backbone)
    if start is None and recipe.training.objective == "denoise":
        raise RecipeError(
            str(file),
            [f"training.objective: the backbone cannot write {recipe.languages[0]}; use masked"],
        )
    texts, sources = _read(recipe, folder)
    every = max(2, len(texts) // recipe.data.dev_rows)
    return LanguageJob(
        recipe,
        file,
        backbone,
        sites,
        [t for i, t in enumerate(texts) if i % every],
        texts[::every],
        sources,
        parent,
        start,
    )


def _read(recipe: LanguageRecipe, folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Every different text once, and what it came from."""
    texts, sources, problems = dict[str, None](), list[dict[str, Any]](), list[str]()
    for one in recipe.data.train:
        try:
            found = read_texts(one, folder)
        except Exception as error:
            problems.append(unreadable(one.file, error))
            continue
        texts |= dict.fromkeys(found)
        digest = hashlib.sha256("\n".join(found).encode()).hexdigest()
        sources.append(
            {
                "split": "train",
                "source": one.file,
                "rows": len(found),
                "sha256": digest,
                "licence": one.licence,
            }
        )
    if not problems and len(texts) < 4 * recipe.data.dev_rows:
        problems.append(
            f"train: {len(texts)} different texts are too few for dev_rows: {recipe.data.dev_rows}"
        )
    if problems:
        raise DataError(f"data of {recipe.name}", problems)
    return list(texts), sources
