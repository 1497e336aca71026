"""A recipe as a person would write it: short, with a comment on each line that was guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from polygraft.tasks.fields import in_yaml

COMMENTS_FROM = 30
"""The column where comments start, where the line before them is not longer."""


class Line(NamedTuple):
    """A field of a recipe; `value` None for a mapping whose fields are the lines after it."""

    key: str
    value: Any
    comment: str = ""
    depth: int = 0


def in_data(lines: Sequence[Line]) -> list[Line]:
    """`lines` as the fields of `data`."""
    return [Line("data", None), *(line._replace(depth=1) for line in lines)]


def recipe_text(lines: Sequence[Line], heading: str) -> str:
    """YAML with comments."""
    return "\n".join([f"# {heading}", *map(_written, lines)]) + "\n"


def _written(line: Line) -> str:
    value = "" if line.value is None else f" {in_yaml(line.value)}"
    field = f"{'  ' * line.depth}{line.key}:{value}"
    return f"{field:{COMMENTS_FROM - 1}}  # {line.comment}" if line.comment else field
