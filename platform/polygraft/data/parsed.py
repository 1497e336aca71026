"""A file of rows after it was parsed, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ParsedTable:
    """`rows` are those that could be read, `lines` the line of the file that each begins on, and
    `problems` what is wrong with the others, each with its line. `header` has the names of the
    columns where the file's first line gives them."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    header: list[str] | None = None

    def add(self, line: int, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.lines.append(line)


def cell(value: Any) -> str:
    """What stands in a cell of a table, as text: without white space around it, nothing for an
    empty one, and truth as JSON writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value).strip()
