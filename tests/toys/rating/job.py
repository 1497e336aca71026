from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polygraft.adapters.library import Library
from polygraft.errors import DataError
from polygraft.training.key import run_key
from rating.recipe import RatingRecipe


@dataclass(frozen=True)
class RatingJob:
    recipe: RatingRecipe
    file: Path
    backbone: Path
    texts: list[str]
    ratings: list[float]
    parent: Path | None = None
    stack: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = (0,)

    @property
    def key(self) -> str:
        return run_key(self.recipe, self.backbone, [], [self.texts, self.ratings])

    @property
    def rows(self) -> dict[str, int]:
        return {"train": len(self.texts)}

    @property
    def leaks(self) -> dict[str, Any]:
        return {}

    @property
    def data(self) -> list[dict[str, Any]]:
        digest = hashlib.sha256(json.dumps([self.texts, self.ratings]).encode()).hexdigest()
        return [
            {
                "split": "train",
                "source": self.recipe.file,
                "rows": len(self.texts),
                "sha256": digest,
                "licence": "own",
            }
        ]

    @property
    def doubts(self) -> list[str]:
        return []

    @property
    def answers(self) -> list[str]:
        return ["a number"]


def prepare(
    recipe: RatingRecipe,
    file: Path,
    backbone: Path,
    *,
    library: Library | None = None,
    allow_leak: str | None = None,
) -> RatingJob:
    rows = [
        json.loads(line)
        for line in (file.parent / recipe.file).read_text(encoding="utf-8").splitlines()
    ]
    if not rows:
        raise DataError(f"data of {recipe.name}", [f"file: {recipe.file} has no rows"])
    return RatingJob(
        recipe,
        file,
        backbone,
        [row["text"] for row in rows],
        [float(row["rating"]) for row in rows],
    )
