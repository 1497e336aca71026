"""The trained adapters that a recipe builds on: its parent, and what it is stacked on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from polygraft.adapters.format import LAYOUT, load_adapter
from polygraft.architectures.folder import fingerprint
from polygraft.errors import RecipeError
from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.tasks.recipe import AdapterRecipe, LoraRecipe
from polygraft.training.sites import described, in_layers, pick_sites

RecipeT = TypeVar("RecipeT", bound=AdapterRecipe)


def find_parent(
    recipe: AdapterRecipe, file: Path, backbone: Path, *, other_task: str
) -> Path | None:
    """The folder of the adapter that `recipe`, read from `file`, names as its parent; None when it
    names none. `other_task` is what to say of a parent of another task, after its name.

    Raises `RecipeError` when there is no such adapter or its task is another; `AdapterError` when
    it does not fit the backbone.
    """
    if recipe.parent is None:
        return None
    parent = find_adapter(recipe.parent, file.resolve().parent, "parent")
    if load_adapter(parent, backbone=fingerprint(backbone)).manifest.task != recipe.task:
        raise RecipeError(str(file), [f"parent: {recipe.parent!r} {other_task}"])
    return parent


def with_lora_of(recipe: RecipeT, file: Path, parent: Path, sites: Sequence[str]) -> RecipeT:
    """`recipe`, read from `file`, with rank, alpha and sites of the adapter in the folder `parent`,
    whose matrices it is trained from. `sites` are all that LoRA may sit on.

    Raises `RecipeError` with each of the three that the recipe itself gives otherwise.
    """
    config = json.loads((parent / LAYOUT.peft_config).read_text(encoding="utf-8"))
    shape = {"r": config["r"], "alpha": config["lora_alpha"]}
    given = recipe.lora.model_fields_set if "lora" in recipe.model_fields_set else set[str]()
    problems = [
        f"lora.{field}: {getattr(recipe.lora, field):g} here, but parent {recipe.parent} has "
        f"{value:g}, and a child keeps it; leave {field} out, or write {field}: {value:g}"
        for field, value in shape.items()
        if field in given and getattr(recipe.lora, field) != value
    ]
    targets = sorted(config["target_modules"])  # whole names, or endings where they are many
    parents_sites = pick_sites(LoraRecipe(sites=targets), sites)
    if "sites" in given:
        named = pick_sites(recipe.lora, sites)
    else:
        named = in_layers(parents_sites, recipe.lora.layers)
    if named != parents_sites:
        problems.append(
            f"lora.sites: {described(named)} here, but parent {recipe.parent} has "
            f"{described(parents_sites)}, and a child keeps them; leave sites and layers out"
        )
    if problems:
        raise RecipeError(str(file), problems)
    lora = recipe.lora.model_copy(update=shape | {"sites": parents_sites, "layers": None})
    return recipe.model_copy(update={"lora": lora})


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
