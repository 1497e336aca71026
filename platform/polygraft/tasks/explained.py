"""Recipes for people, as `polygraft recipe` prints them: one to start from for each task, and what
a field is for."""

from __future__ import annotations

import textwrap
from typing import Any

from pydantic.json_schema import models_json_schema

from polygraft.errors import RecipeError
from polygraft.tasks.fields import RecipeField, fields_of, nearest
from polygraft.tasks.registry import TASKS, recipe_class

WIDTH = 100


def example(task: str) -> str:
    """A short recipe of `task` with comments, and where to read on."""
    others = ", ".join(f"polygraft recipe {other}" for other in TASKS if other != task)
    return (
        f"{recipe_class(task).example}\n"
        "# One field: polygraft recipe FIELD, such as training.epochs. "
        f"Other tasks: {others}.\n"
    )


def explain(path: str) -> str:
    """What the field at `path` is for, what it may hold, its default and an example; for each task
    in which they are others. Raises `RecipeError` with near names for a field that there is
    not."""
    by_task = {task: fields_of(recipe_class(task)) for task in TASKS}
    texts: dict[str, list[str]] = {}
    for task, fields in by_task.items():
        if path in fields:
            texts.setdefault(_text(fields[path]), []).append(task)
    if not texts:
        known = list(dict.fromkeys(name for fields in by_task.values() for name in fields))
        meant = (
            " or ".join(nearest(path, known)) or "`polygraft recipe`, which shows the usual ones"
        )
        raise RecipeError(path, [f"there is no such field in a recipe; did you mean {meant}?"])
    return "\n".join(f"{path} ({', '.join(tasks)})\n{text}" for text, tasks in texts.items())


def json_schema() -> dict[str, Any]:
    """Every field of every task as JSON Schema."""
    classes = [(recipe_class(task), "validation") for task in TASKS]
    references, schema = models_json_schema(classes)  # type: ignore[arg-type]
    return {"anyOf": list(references.values())} | schema


def _text(field: RecipeField) -> str:
    lines = textwrap.wrap(field.purpose, WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines.append(f"  type:     {field.allowed}")
    if not field.parts:
        lines.append(f"  default:  {field.default_shown}")
    lines.append(f"  example:  {field.example}")
    for part in field.parts:
        lines += textwrap.wrap(
            f"{part.path}: {part.purpose}", WIDTH, initial_indent="  ", subsequent_indent="      "
        )
    return "\n".join(lines) + "\n"
