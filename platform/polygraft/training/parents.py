"""The adapters that a recipe names: its parent, what it is stacked on, whose rows it learns from.

What such a name means is told by `find_adapter`, and nowhere else.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from polygraft.adapters.format import LAYOUT, Manifest, load_adapter
from polygraft.adapters.library import Library, open_library
from polygraft.architectures.folder import fingerprint
from polygraft.errors import RecipeError
from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.tasks.recipe import AdapterRecipe, LoraRecipe
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.training.sites import described, in_layers, pick_sites

RecipeT = TypeVar("RecipeT", bound=AdapterRecipe)


def find_parent(
    recipe: AdapterRecipe,
    file: Path,
    backbone: Path,
    library: Library | None,
    *,
    other_task: str,
) -> Path | None:
    """The folder of the adapter that `recipe`, read from `file`, names as its parent; None when it
    names none. `other_task` is what to say of a parent of another task, after its name.

    Raises `RecipeError` when there is no such adapter or its task is another; `AdapterError` when
    it does not fit the backbone.
    """
    if recipe.parent is None:
        return None
    parent = find_adapter(recipe.parent, file, library, "parent")
    if load_adapter(parent, backbone=fingerprint(backbone)).manifest.task != recipe.task:
        raise RecipeError(str(file), [f"parent: {recipe.parent!r} {other_task}"])
    return parent


def settle_lora(recipe: RecipeT, file: Path, parent: Path | None, sites: Sequence[str]) -> RecipeT:
    """`recipe`, read from `file`, with the LoRA of its parent where it has one. Raises
    `RecipeError` as `with_lora_of` does, and for sites that are not among `sites`."""
    if parent:
        recipe = with_lora_of(recipe, file, parent, sites)
    pick_sites(recipe.lora, sites, str(file))
    return recipe


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
        named = pick_sites(recipe.lora, sites, str(file))
    else:
        named = in_layers(parents_sites, recipe.lora.layers, str(file))
    if named != parents_sites:
        problems.append(
            f"lora.sites: {described(named)} here, but parent {recipe.parent} has "
            f"{described(parents_sites)}, and a child keeps them; leave sites and layers out"
        )
    if problems:
        raise RecipeError(str(file), problems)
    lora = recipe.lora.model_copy(update=shape | {"sites": parents_sites, "layers": None})
    return recipe.model_copy(update={"lora": lora})


def find_adapter(
    name: str,
    file: Path,
    library: Library | None,
    field: str,
    holds: Sequence[str] = (LAYOUT.manifest,),
) -> Path:
    """The folder of the adapter that the recipe `file` names in `field`: the one of that name
    beside the recipe's own folder, else the one in the library (None: that which is served). What
    has a slash is a path, which starts at the recipe. `holds` are files of which it must have one;
    the manifest means that it is trained.

    Raises `RecipeError`, with near names.
    """
    folder, library = file.resolve().parent, library or open_library()
    is_path = "/" in name or "\\" in name
    places = [folder / name] if is_path else [folder.parent / name, *_in_library(name, library)]
    for place in places:
        if any((place / one).is_file() for one in holds):
            return place
    raise RecipeError(str(file), [f"{field}: {_what_is_wrong(name, places, library, holds)}"])


def _in_library(name: str, library: Library) -> list[Path]:
    """Where the library may have an adapter of that name: the version that is served, else a folder
    with a recipe that was not trained yet."""
    served = [library.folder(name)] if name in library.names() else []
    return [*served, *(layer / name for layer in library.layers)]


def _what_is_wrong(
    name: str, places: Sequence[Path], library: Library, holds: Sequence[str]
) -> str:
    """Why no adapter called `name` was found in `places`, and what to do."""
    for place in places:
        if (place / LAYOUT.recipe).is_file():
            return (
                f"{name!r} is not trained yet; run `polygraft train {place / LAYOUT.recipe}` first"
            )
    if len(places) == 1:
        return f"no adapter in {places[0]}; give the name or the folder of one"
    beside = places[0].parent
    known = {
        entry.name
        for entry in (beside.iterdir() if beside.is_dir() else [])
        if any((entry / one).is_file() for one in holds)
    }.union(library.names())
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the library is {library.root}"
    return f"no adapter named {name!r} beside this recipe or in the library; {hint}"


def find_language_adapter(name: str, file: Path, library: Library | None, backbone: Path) -> Path:
    """The language adapter that a recipe names in its stack. Raises `RecipeError`, or
    `AdapterError` when it does not fit the backbone."""
    adapter, manifest = _find_in_stack(name, file, library, backbone)
    if not isinstance(manifest, LanguageManifest):
        raise RecipeError(
            str(file),
            [f"stack: {name!r} is not a language adapter; parent starts from one that answers"],
        )
    return adapter


def find_translation_adapter(
    name: str, file: Path, library: Library | None, backbone: Path
) -> Path:
    """The translation adapter that a translation recipe names in its stack: one that was not
    trained on a stack itself. Raises as `find_language_adapter` does."""
    adapter, manifest = _find_in_stack(name, file, library, backbone)
    if not isinstance(manifest, TranslationManifest):
        raise RecipeError(str(file), [f"stack: {name!r} does not translate; name one that does"])
    if manifest.stack:
        under = ", ".join(manifest.stack)
        raise RecipeError(
            str(file), [f"stack: {name!r} lies on {under} itself; name that, or make it the parent"]
        )
    return adapter


def _find_in_stack(
    name: str, file: Path, library: Library | None, backbone: Path
) -> tuple[Path, Manifest]:
    adapter = find_adapter(name, file, library, "stack")
    return adapter, load_adapter(adapter, backbone=fingerprint(backbone)).manifest
