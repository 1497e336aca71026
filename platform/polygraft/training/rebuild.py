"""Which adapters of a library to train again, and in which order: after a new backbone, all of
them, parents first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.folder import fits
from polygraft.errors import RecipeError
from polygraft.tasks.recipe import load_recipe


@dataclass(frozen=True)
class Rebuild:
    """A recipe to train again; `full_ladder` when the adapter's figures had its parentless rung."""

    recipe: Path
    full_ladder: bool


def outdated(library: Library, backbone: str) -> list[Rebuild]:
    """Trained adapters that do not fit the backbone of this fingerprint, parents before children.

    Raises `RecipeError` for adapters that are each other's parents, and for unreadable recipes.
    """
    needs: dict[str, set[str]] = {}
    found: dict[str, Rebuild] = {}
    for name in library.names():
        folder = library.folder(name)
        manifest = load_manifest(folder)
        if (
            fits(manifest.backbone, backbone) or not (folder / LAYOUT.recipe).is_file()
        ):  # or was combined, not trained
            continue
        recipe = load_recipe(folder / LAYOUT.recipe)
        needs[name] = {
            Path(other).name for other in [recipe.parent or "", *getattr(recipe, "stack", [])]
        }
        found[name] = Rebuild(folder / LAYOUT.recipe, _had_all_rungs(manifest.metrics))
    ordered: list[str] = []
    while waiting := [name for name in found if name not in ordered]:
        ready = [name for name in waiting if not needs[name] & set(waiting)]
        if not ready:
            raise RecipeError(
                str(library.root),
                [f"parent: {', '.join(waiting)} start from each other; give one no parent"],
            )
        ordered += ready
    return [found[name] for name in ordered]


def _had_all_rungs(metrics: dict[str, Any]) -> bool:
    written = [
        figures for split in metrics.get("directions", {}).values() for figures in split.values()
    ]
    return "target_only" in metrics.get("ladder", {}) or any(
        "from_scratch" in figures["rungs"] for figures in written
    )
