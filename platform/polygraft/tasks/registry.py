"""Every task, by the name that recipes and manifests give it. A new task is its folder under `tasks/`, and its line here.

A folder has `recipe.py` (`RECIPE`, the schema of its recipe.yaml), `serving.py` (`TASK`, how an adapter of it is read, verified
and answers; numpy only) and `training.py` (`TASK`, how one is made). Each is imported when it is asked for: serving never needs
what only training needs.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polygraft.tasks.recipe import AdapterRecipe
    from polygraft.tasks.serving import ServedTask
    from polygraft.tasks.training import TrainedTask

TASKS = {
    "classification": "polygraft.tasks.classification",
    "translation": "polygraft.tasks.translation",
    "language": "polygraft.tasks.language",
}
DEFAULT = "classification"
"""The task of a recipe or a manifest that names none."""


def recipe_class(task: str) -> type[AdapterRecipe]:
    """The schema of a recipe. Raises `KeyError` for a task that is not registered."""
    found: type[AdapterRecipe] = import_module(f"{TASKS[task]}.recipe").RECIPE
    return found


@cache
def served(task: str) -> ServedTask:
    """How adapters of a task are served. Raises `KeyError` for a task that is not registered."""
    found: ServedTask = import_module(f"{TASKS[task]}.serving").TASK
    return found


def trained(task: str) -> TrainedTask:
    """How adapters of a task are made. Raises `KeyError` for a task that is not registered."""
    found: TrainedTask = import_module(f"{TASKS[task]}.training").TASK
    return found
