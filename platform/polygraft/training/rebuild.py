"""Which adapters of a library to train again after a new backbone, and in which order: first those
that others build on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.folder import fits
from polygraft.errors import RecipeError
from polygraft.tasks import registry
from polygraft.tasks.recipe import load_recipe


@dataclass(frozen=True)
class Rebuild:
    """A recipe to train again; `full_ladder` when the adapter was trained with it."""

    recipe: Path
    full_ladder: bool


def outdated(library: Library, backbone: str) -> list[Rebuild]:
    """Trained adapters that do not fit the backbone of this fingerprint, each after those it builds
    on.

    Raises `RecipeError` for adapters that build on each other, and for unreadable recipes.
    """
    needs: dict[str, set[str]] = {}
    rebuilds: dict[str, Rebuild] = {}
    for name in library.names():
        folder = library.folder_of(name)
        if not (folder / LAYOUT.manifest).is_file():
            continue  # versions were published; what they are made from lies elsewhere
        manifest = load_manifest(folder)
        has_recipe = (folder / LAYOUT.recipe).is_file()  # else it was combined of others
        was_trained = has_recipe and not manifest.was_scored_only
        if fits(manifest.backbone, backbone) or not was_trained:
            continue
        recipe = load_recipe(folder / LAYOUT.recipe)
        needs[name] = {Path(other).name for other in recipe.builds_on}
        full_ladder = registry.trained(recipe.task).had_full_ladder(manifest.metrics)
        rebuilds[name] = Rebuild(folder / LAYOUT.recipe, full_ladder)
    ordered: list[str] = []
    while waiting := [name for name in rebuilds if name not in ordered]:
        ready = [name for name in waiting if not needs[name] & set(waiting)]
        if not ready:
            raise RecipeError(
                str(library.root),
                [f"parent: {', '.join(waiting)} start from each other; give one no parent"],
            )
        ordered += ready
    return [rebuilds[name] for name in ordered]
