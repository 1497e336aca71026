"""A language recipe made ready for training: text read and cut into train and dev, sites picked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polygraft.adapters.library import Library
from polygraft.data.reading import read_texts, unreadable
from polygraft.errors import DataError, Gathered
from polygraft.tasks.language.denoising import can_write
from polygraft.tasks.language.recipe import LanguageRecipe
from polygraft.training.key import run_key
from polygraft.training.parents import find_parent, settle_lora
from polygraft.training.sites import graph_sites


@dataclass(frozen=True)
class LanguageJob:
    """See `tasks.training.Job`. `writes`: whether the backbone can write the language."""

    recipe: LanguageRecipe
    file: Path
    backbone: Path
    sites: list[str]
    train: list[str]
    dev: list[str]
    data: list[dict[str, Any]]
    parent: Path | None
    writes: bool

    @property
    def stack(self) -> tuple[Path, ...]:
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
    def doubts(self) -> list[str]:
        return []

    @property
    def answers(self) -> list[str]:
        return self.recipe.languages

    @property
    def key(self) -> str:
        """Hash of recipe, backbone, parent and text."""
        return run_key(
            self.recipe, self.backbone, [self.parent] if self.parent else [], [self.train, self.dev]
        )


def prepare(
    recipe: LanguageRecipe,
    file: Path,
    backbone: Path,
    *,
    library: Library | None = None,
    allow_leak: str | None = None,
) -> LanguageJob:
    """See `tasks.training.Prepare`. Text without labels has nothing to leak."""
    sites = graph_sites(backbone)
    writes, problems = can_write(recipe.languages[0], backbone), list[str]()
    if not writes and recipe.training.objective == "denoise":
        problems.append(
            f"training.objective: the backbone cannot write {recipe.languages[0]}; use masked"
        )
    gathered = Gathered(str(file), problems)
    with gathered.step():
        parent = find_parent(
            recipe, file, backbone, library, other_task="is not a language adapter"
        )
        recipe = settle_lora(recipe, file, parent, sites)
    with gathered.step():
        texts, sources = _read(recipe, file.resolve().parent)
    gathered.raise_any()
    every = max(2, len(texts) // recipe.data.dev_rows)
    return LanguageJob(
        recipe=recipe,
        file=file,
        backbone=backbone,
        sites=sites,
        train=[text for i, text in enumerate(texts) if i % every],
        dev=texts[::every],
        data=sources,
        parent=parent,
        writes=writes,
    )


def _read(recipe: LanguageRecipe, folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Every distinct text of the recipe's files, and what the manifest says of each file."""
    texts, sources, problems = dict[str, None](), list[dict[str, Any]](), list[str]()
    for file in recipe.data.train:
        try:
            read = read_texts(file, folder)
        except Exception as error:
            problems.append(unreadable(file.file, error))
            continue
        texts |= dict.fromkeys(read)
        digest = hashlib.sha256("\n".join(read).encode()).hexdigest()
        sources.append(
            {
                "split": "train",
                "source": file.file,
                "rows": len(read),
                "sha256": digest,
                "licence": file.licence,
            }
        )
    if not problems and len(texts) < 4 * recipe.data.dev_rows:
        problems.append(
            f"train: {len(texts)} different texts are too few for dev_rows: {recipe.data.dev_rows}"
        )
    if problems:
        raise DataError(f"data of {recipe.name}", problems)
    return list(texts), sources
