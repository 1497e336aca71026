"""The trained adapters that a recipe builds on: its parent, and what it is stacked on."""

from __future__ import annotations

import json
from pathlib import Path

from polygraft.adapters.format import LAYOUT, load_adapter
from polygraft.architectures.folder import fingerprint
from polygraft.errors import RecipeError
from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.tasks.recipe import AdapterRecipe
from polygraft.training.sites import pick_sites


def find_parent(
    recipe: AdapterRecipe, file: Path, backbone: Path, sites: list[str], *, other_task: str
) -> Path | None:
    """The folder of the adapter that `recipe`, read from `file`, names as its parent; None when it
    names none. `other_task` is what to say of a parent of another task, after its name.

    Raises `RecipeError` when there is no such adapter, its task is another, or the recipe asks for
    LoRA of another shape; `AdapterError` when it does not fit the backbone.
    """
    if recipe.parent is None:
        return None
    parent = find_adapter(recipe.parent, file.resolve().parent, "parent")
    if load_adapter(parent, backbone=fingerprint(backbone)).manifest.task != recipe.task:
        raise RecipeError(str(file), [f"parent: {recipe.parent!r} {other_task}"])
    _check_lora(recipe, file, parent, sites)
    return parent


def _check_lora(recipe: AdapterRecipe, file: Path, parent: Path, sites: list[str]) -> None:
    """Refuse a recipe whose LoRA has another shape than its parent's."""
    config = json.loads((parent / LAYOUT.peft_config).read_text(encoding="utf-8"))
    ours, theirs = (recipe.lora.r, recipe.lora.alpha), (config["r"], config["lora_alpha"])
    problems = []
    if ours != theirs:
        problems.append(
            f"lora: r={ours[0]}, alpha={ours[1]:g}, but parent {recipe.parent} has r={theirs[0]}, "
            f"alpha={theirs[1]:g}; "
            "a child keeps its parent's"
        )
    if "sites" in recipe.lora.model_fields_set and set(pick_sites(recipe.lora, sites)) != set(
        config["target_modules"]
    ):
        problems.append(
            f"lora.sites: not those of parent {recipe.parent}; leave them out, a child keeps its "
            "parent's"
        )
    if problems:
        raise RecipeError(str(file), problems)


def find_adapter(name: str, folder: Path, field: str) -> Path:
    """The trained adapter that a recipe in `folder` names in `field`: beside it, or a path. Raises
    `RecipeError`."""
    for candidate in (folder.parent / name, folder / name):
        if (candidate / LAYOUT.manifest).is_file():
            return candidate
    raise RecipeError(
        str(folder / LAYOUT.recipe),
        [f"{field}: no trained adapter {name!r} in {folder.parent}; train that one first"],
    )


def find_language_adapter(name: str, folder: Path, backbone: Path) -> Path:
    """The language adapter that a recipe in `folder` names in its stack. Raises `RecipeError`, or
    `AdapterError` when it does not fit the backbone."""
    adapter = find_adapter(name, folder, "stack")
    manifest = load_adapter(adapter, backbone=fingerprint(backbone)).manifest
    if not isinstance(manifest, LanguageManifest):
        raise RecipeError(
            str(folder / LAYOUT.recipe),
            [f"stack: {name!r} is not a language adapter; parent starts from one that answers"],
        )
    return adapter
