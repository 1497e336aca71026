"""Tables of a user's rows, read for a new recipe and written beside it as JSON Lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polygraft.data.parsed import cell
from polygraft.data.reading import read_source, unreadable
from polygraft.errors import DataError
from polygraft.tasks.recipe import expand

Row = Mapping[str, Any]
Rows = Sequence[Row]


def read_tables(sources: Mapping[str, str]) -> dict[str, Rows]:
    """The rows of each source, a path from where the user stands, a URL or `hub:owner/name`. Raises
    `DataError` with every source that cannot be read."""
    tables, problems = dict[str, Rows](), list[str]()
    for split, source in sources.items():
        try:
            tables[split] = read_source(expand(source, Path.cwd()))
        except Exception as error:
            problems.append(unreadable(source, error))
    if problems:
        raise DataError("data", problems)
    return tables


def from_recipe(source: str, folder: Path) -> str:
    """`source` as a recipe in `folder` names it."""
    whole = expand(source, Path.cwd())
    return os.path.relpath(whole, folder.resolve()) if Path(whole).is_absolute() else whole


def write_rows(file: Path, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """The `columns` of the rows and no others: what no recipe names may be a telephone number."""
    with file.open("w", encoding="utf-8", errors="backslashreplace") as out:
        for row in rows:
            named = {column: cell(row[column]) for column in columns}
            out.write(json.dumps(named, ensure_ascii=False) + "\n")
