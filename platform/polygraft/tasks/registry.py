"""Every task, by the name that recipes and manifests give it. A new task is its folder under
`tasks/`, and its line here.

A folder has `recipe.py` (`RECIPE`, the schema of its recipe.yaml), `serving.py` (`TASK`, how an
adapter of it is read, verified and answers; numpy only), `job.py` (`prepare`, a recipe made ready;
without torch), `training.py` (`TASK`, how an adapter is made),
`results.py` and `page.py` (how its figures are shown; the functions of `tasks.reporting`). Each is
imported when it is asked for: serving never needs what only training needs.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from polygraft.tasks.recipe import AdapterRecipe
    from polygraft.tasks.reporting import TaskPage, TaskResults
    from polygraft.tasks.serving import ServedTask
    from polygraft.tasks.training import Prepare, TrainedTask

TASKS = {
    "classification": "polygraft.tasks.classification",
    "translation": "polygraft.tasks.translation",
    "language": "polygraft.tasks.language",
    "embedding": "polygraft.tasks.embedding",
    "tagging": "polygraft.tasks.tagging",
}
DEFAULT = "classification"
"""The task of a recipe or a manifest that names none."""


def recipe_class(task: str) -> type[AdapterRecipe]:
    """The schema of a recipe. Raises `KeyError` for a task that is not registered."""
    recipe: type[AdapterRecipe] = import_module(f"{TASKS[task]}.recipe").RECIPE
    return recipe


@cache
def served(task: str) -> ServedTask:
    """How adapters of a task are served. Raises `KeyError` for a task that is not registered."""
    served_task: ServedTask = import_module(f"{TASKS[task]}.serving").TASK
    return served_task


def results(task: str) -> TaskResults:
    """How adapters of a task stand in the results table, and what they gained from transfer. Raises
    `KeyError` for a task that is not registered."""
    return cast("TaskResults", import_module(f"{TASKS[task]}.results"))


def page(task: str) -> TaskPage:
    """What the HTML report shows of adapters of a task. Raises `KeyError` for a task that is not
    registered."""
    return cast("TaskPage", import_module(f"{TASKS[task]}.page"))


def preparation(task: str) -> Prepare:
    """How a recipe is made ready for training. Raises `KeyError` for a task that is not
    registered."""
    return cast("Prepare", import_module(f"{TASKS[task]}.job").prepare)


def trained(task: str) -> TrainedTask[Any, Any]:
    """How adapters of a task are made. Raises `KeyError` for a task that is not registered."""
    trained_task: TrainedTask[Any, Any] = import_module(f"{TASKS[task]}.training").TASK
    return trained_task
