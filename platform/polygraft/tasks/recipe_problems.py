"""What is wrong with a recipe, for whoever wrote it: the place and the line of each problem, and
the name that was meant by an unknown one.

Does not: check a recipe (its classes do), or read files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from polygraft.tasks.fields import fields_of, nearest

Place = tuple[str | int, ...]
UNKNOWN, MISSING = "extra_forbidden", "missing"
SAID_IN_FULL = (UNKNOWN, MISSING, "value_error")
"""Kinds of problems whose message needs no repetition of what was given."""


def problems_of(error: ValidationError, text: str, recipe: type[BaseModel]) -> list[str]:
    """Every problem of the recipe `text`, which `recipe` refused with `error`."""
    raw, root = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    assert root is not None  # an empty file has no fields to be wrong
    by_place: dict[Place, list[str]] = {}
    for one in error.errors():
        place = place_of(one, raw)
        by_place.setdefault(place, []).append(_message(one, place, recipe))
    return [
        f"{_path(place) or 'recipe'}: {', or '.join(dict.fromkeys(messages))}{_line(place, root)}"
        for place, messages in by_place.items()
        if not any(len(other) > len(place) and other[: len(place)] == place for other in by_place)
        # of a choice of kinds, the one that was meant has its problem further in
    ]


def place_of(error: Any, raw: Any) -> Place:
    """The keys that lead to one of pydantic's errors in the recipe `raw`. Pydantic also names the
    kind of value that it tried, where there is a choice; those names are left out."""
    place: list[str | int] = []
    for number, part in enumerate(error["loc"], 1):
        if _holds(raw, part):
            raw = raw[part]
            place.append(part)
        elif error["type"] == MISSING and number == len(error["loc"]):
            place.append(part)
    return tuple(place)


def _holds(value: Any, part: str | int) -> bool:
    """Whether `value[part]` is there."""
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _path(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _message(error: Any, place: Place, recipe: type[BaseModel]) -> str:
    if error["type"] == UNKNOWN:
        fields = fields_of(recipe)
        names = _path(tuple(part for part in place if isinstance(part, str)))
        meant = nearest(names, list(fields))
        if meant:
            return f"there is no such field; did you mean {' or '.join(meant)}?"
        return "there is no such field; `polygraft recipe` lists those there are"
    message: str = error["msg"].removeprefix("Value error, ")
    if error["type"] in SAID_IN_FULL:
        return message
    return f"{message} (given: {error['input']!r})"


def _line(place: Place, root: yaml.Node) -> str:
    """Where the last key of `place` stands that is in the recipe, as ` (line 5)`."""
    node, mark = root, root.start_mark
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [(key, value) for key, value in node.value if key.value == part]
            if not pairs:
                break
            key, node = pairs[-1]
            mark = key.start_mark
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            mark = node.start_mark
    return f" (line {mark.line + 1})" if place else ""
