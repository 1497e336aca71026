"""The fields of a recipe for people: what each is for, what may stand in it, and which one was
meant by a name that there is not.

All of it is read from the JSON Schema that pydantic makes of the recipe's classes: a field is
documented where it is declared. Does not: read recipes (see `recipe.py`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

ANY_NAME = "NAME"
"""Stands in a path for the keys of a mapping that a user names, `decide.NAME.label`."""
NO_DEFAULT = object()
WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
}
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}


@dataclass(frozen=True)
class RecipeField:
    """One field of a recipe. `keys` lead to it from the top, 0 where a list stands between;
    `allowed` is what it may hold, in words; `parts` are the fields in it, where it is a mapping."""

    keys: tuple[str | int, ...]
    purpose: str
    allowed: str
    default: Any
    examples: tuple[Any, ...]
    parts: tuple[RecipeField, ...]

    @property
    def path(self) -> str:
        return ".".join(key for key in self.keys if isinstance(key, str))

    @property
    def default_shown(self) -> str:
        """The default as YAML, or what it means that there is none."""
        if self.default is NO_DEFAULT:
            return "none, it must be given"
        if self.default is None or (not self.default and self.default != 0):
            return "left out"
        return in_yaml(self.default)

    @property
    def example(self) -> str:
        """A line of a recipe that gives the field."""
        example = self.examples[0] if self.examples else self.default
        for key in reversed(self.keys):
            example = [example] if key == 0 else {key: example}
        return in_yaml(example).removeprefix("{").removesuffix("}")


def in_yaml(value: Any) -> str:
    """`value` as YAML in one line."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    )
    return text.removesuffix("...\n").strip()


def fields_of(recipe: type[BaseModel]) -> dict[str, RecipeField]:
    """Every field of a recipe by its path, `training.epochs`; a mapping before the fields in it."""
    schema = recipe.model_json_schema()
    top = _parts(schema, (), schema["$defs"])
    return {field.path: field for field in _with_parts(top)}


def nearest(name: str, paths: Sequence[str]) -> list[str]:
    """Those of `paths` that may be meant by the path `name`, which is none of them: fields of the
    same name elsewhere, else those spelt alike, beside it first."""
    place, _, last = name.rpartition(".")
    same = [path for path in paths if path.rpartition(".")[2] == last]
    if same:
        return same[:3]
    beside = {path.rpartition(".")[2]: path for path in paths if path.rpartition(".")[0] == place}
    alike = difflib.get_close_matches(last, beside, n=1)
    if alike:
        return [beside[alike[0]]]
    elsewhere = {path.rpartition(".")[2]: path for path in paths}
    return [elsewhere[one] for one in difflib.get_close_matches(last, elsewhere, n=1)]


def _with_parts(fields: Sequence[RecipeField]) -> Iterator[RecipeField]:
    for field in fields:
        yield field
        yield from _with_parts(field.parts)


def _parts(
    node: dict[str, Any], keys: tuple[str | int, ...], defs: dict[str, Any]
) -> tuple[RecipeField, ...]:
    """The fields in a value of the schema `node`, which stands at `keys`."""
    node = _resolved(node, defs)
    if "properties" in node:
        required = node.get("required", ())
        return tuple(
            _field(part, (*keys, name), defs, required=name in required)
            for name, part in node["properties"].items()
        )
    if "items" in node:
        return _parts(node["items"], (*keys, 0), defs)
    if isinstance(node.get("additionalProperties"), dict):
        return _parts(node["additionalProperties"], (*keys, ANY_NAME), defs)
    for alternative in node.get("anyOf", ()):
        if parts := _parts(alternative, keys, defs):
            return parts
    return ()


def _field(
    node: dict[str, Any], keys: tuple[str | int, ...], defs: dict[str, Any], *, required: bool
) -> RecipeField:
    return RecipeField(
        keys=keys,
        purpose=" ".join((node.get("description") or _described(node, defs)).split()),
        allowed=_allowed(node, defs),
        default=NO_DEFAULT if required else node.get("default"),
        examples=tuple(node.get("examples", ())),
        parts=_parts(node, keys, defs),
    )


def _described(node: dict[str, Any], defs: dict[str, Any]) -> str:
    """What the class of a mapping says of itself."""
    for alternative in (node, *node.get("anyOf", ())):
        if description := _resolved(alternative, defs).get("description"):
            return str(description)
    return ""


def _allowed(node: dict[str, Any], defs: dict[str, Any]) -> str:
    """What a value may be, in words."""
    node = _resolved(node, defs)
    if "anyOf" in node:
        kinds = [_allowed(one, defs) for one in node["anyOf"] if one.get("type") != "null"]
        return ", or ".join(dict.fromkeys(kinds))
    if "const" in node:
        return in_yaml(node["const"])
    if "enum" in node:
        return "one of " + ", ".join(in_yaml(value) for value in node["enum"])
    if "prefixItems" in node:
        return "list of " + " and ".join(_allowed(one, defs) for one in node["prefixItems"])
    if "items" in node:
        return f"list of {_allowed(node['items'], defs)}"
    bounds = [words.format(node[bound]) for bound, words in BOUNDS.items() if bound in node]
    return ", ".join([WORDS[node["type"]], *bounds])


def _resolved(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """`node`, or what it refers to."""
    if "$ref" in node:
        target: dict[str, Any] = defs[node["$ref"].rpartition("/")[2]]
        return target
    return node
