"""The adapters that a recipe names: its parent, what it is stacked on, whose rows it learns from.

What such a name means is told by `find_adapter`, and nowhere else.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from polygraft.adapters.format import LAYOUT, load_adapter
from polygraft.adapters.library import Library, default_library
from polygraft.architectures.folder import fingerprint
from polygraft.errors import RecipeError
from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.tasks.recipe import AdapterRecipe
from polygraft.training.sites import pick_sites


def find_parent(
    recipe: AdapterRecipe,
    file: Path,
    backbone: Path,
    sites: list[str],
    library: Library | None,
    *,
    other_task: str,
) -> Path | None:
    """The folder of the adapter that `recipe`, read from `file`, names as its parent; None when it
    names none. `other_task` is what to say of a parent of another task, after its name.

    Raises `RecipeError` when there is no such adapter, its task is another, or the recipe asks for
    LoRA of another shape; `AdapterError` when it does not fit the backbone.
    """
    if recipe.parent is None:
        return None
    parent = find_adapter(recipe.parent, file, library, "parent")
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
    folder, library = file.resolve().parent, library or Library(default_library())
    is_path = "/" in name or "\\" in name
    places = [folder / name] if is_path else [folder.parent / name, library.root / name]
    for place in places:
        if any((place / one).is_file() for one in holds):
            return place
    raise RecipeError(str(file), [f"{field}: {_what_is_wrong(name, places, library, holds)}"])


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
    roots = dict.fromkeys(place.parent for place in places)
    known = {
        entry.name
        for root in roots
        if root.is_dir()
        for entry in root.iterdir()
        if any((entry / one).is_file() for one in holds)
    }
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the library is {library.root}"
    return f"no adapter named {name!r} beside this recipe or in the library; {hint}"


def find_language_adapter(name: str, file: Path, library: Library | None, backbone: Path) -> Path:
    """The language adapter that a recipe names in its stack. Raises `RecipeError`, or
    `AdapterError` when it does not fit the backbone."""
    adapter = find_adapter(name, file, library, "stack")
    manifest = load_adapter(adapter, backbone=fingerprint(backbone)).manifest
    if not isinstance(manifest, LanguageManifest):
        raise RecipeError(
            str(file),
            [f"stack: {name!r} is not a language adapter; parent starts from one that answers"],
        )
    return adapter
