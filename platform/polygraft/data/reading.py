"""Files, URLs and Hub data sets as rows and lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
from fsspec.utils import infer_compression

from polygraft.data.encoding import decoded
from polygraft.data.lines import split_lines
from polygraft.data.tables import parse
from polygraft.errors import DataError, listed
from polygraft.tasks.recipe import TextFile, expand

KINDS = {".csv": "csv", ".tsv": "tsv", ".json": "jsonl", ".jsonl": "jsonl"}
PARQUET = ".parquet"
COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}


def read_source(source: str) -> list[dict[str, Any]]:
    """All rows of one file, URL or `hub:` id as dicts with the same columns; cells of CSV and TSV
    are text as it stands there.

    Raises `DataError` with the line of each problem, `ValueError` for an unknown kind of file, and
    whatever opening or `datasets` (of `hub:` and Parquet) raises.
    """
    if source.startswith("hub:"):
        name, config, split = [*source.removeprefix("hub:").split(":"), "", ""][:3]
        return _from_datasets(name, config or None, split=split or "train")
    suffixes = [s.lower() for s in Path(source.split("?")[0]).suffixes]
    suffix = next((s for s in reversed(suffixes) if s not in COMPRESSED), "")
    if suffix == PARQUET:
        return _from_datasets("parquet", data_files=source, split="train")
    if suffix not in KINDS:
        raise ValueError(
            f"unknown kind of file; one of {', '.join([*KINDS, PARQUET])} (compressed or not) is "
            "read"
        )
    table = parse(decoded(_content(source), source), KINDS[suffix])
    problems = table.problems
    if not table.rows and not problems:
        header = f"has the header {', '.join(table.header)} and no rows" if table.header else ""
        problems = [f"it {header or 'is empty'}; write a row a line"]
    if problems:
        raise DataError(source, problems)
    columns = table.header or list(dict.fromkeys(name for row in table.rows for name in row))
    return [{name: row.get(name) for name in columns} for row in table.rows]


def _from_datasets(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
    import datasets

    datasets.disable_progress_bars()
    return [dict(row) for row in datasets.load_dataset(*arguments, **options)]


def read_text(source: str) -> str:
    """The text of one file or URL, compressed or not. Raises `OSError`, or `DataError` for another
    encoding."""
    return decoded(_content(source), source)


def _content(source: str) -> bytes:
    """What is in a file or behind a URL, not compressed."""
    compression = infer_compression(source.split("?")[0])
    with fsspec.open(source, "rb", compression=compression) as file:
        content: bytes = file.read()
    return content


def read_lines(source: str, folder: Path) -> list[str]:
    """Lines of a text file or URL, compressed or not. Raises `OSError`, `DataError` for another
    encoding, or `KeyError` for an unset variable."""
    return split_lines(read_text(expand(source, folder)))


def unreadable(source: str, error: Exception) -> str:
    """What to tell when reading `source` raised `error`: a `KeyError` is an unset variable in its
    path."""
    if isinstance(error, DataError):
        return f"{source}: {listed(error.problems)}"
    if isinstance(error, KeyError):
        return f"{source} needs the environment variable {error}; set it to the data's folder"
    if isinstance(error, OSError) and error.strerror:
        return f"{source} cannot be read: {error.strerror[:1].lower()}{error.strerror[1:]}"
    first_line = str(error).strip().split("\n")[0]
    return f"{source} cannot be read: {first_line or type(error).__name__}"


def thinned(rows: Sequence[Any], max_rows: int | None) -> list[Any]:
    """At most `max_rows` of the rows, evenly spread; None: all."""
    if max_rows is None or len(rows) <= max_rows:
        return list(rows)
    return [rows[i * len(rows) // max_rows] for i in range(max_rows)]


def read_texts(file: TextFile, folder: Path) -> list[str]:
    """The file's texts that are short enough, as many as the recipe says. Raises what reading
    raises, or `ValueError` for a missing column."""
    stripped = (text.strip() for text in _texts(file, folder))
    return thinned(
        [text for text in stripped if text and len(text) <= file.most_characters], file.limit
    )


def _texts(file: TextFile, folder: Path) -> list[str]:
    if isinstance(file.column, str):
        rows = read_source(expand(file.file, folder))
        if rows and file.column not in rows[0]:
            raise ValueError(f"it lacks column {file.column}; it has {', '.join(rows[0])}")
        return [str(row[file.column] or "") for row in rows]
    lines, position = read_lines(file.file, folder), file.column
    if position is None:
        return lines
    return [(line.split("\t") + [""] * position)[position] for line in lines]
