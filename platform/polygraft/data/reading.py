"""Files, URLs and Hub data sets as rows and lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec

from polygraft.data.lines import split_lines
from polygraft.tasks.recipe import TextFile, expand

READERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}


def read_source(source: str) -> list[dict[str, Any]]:
    """All rows of one file, URL or `hub:` id as dicts. Raises whatever `datasets` raises."""
    import datasets

    datasets.disable_progress_bars()
    if source.startswith("hub:"):
        name, config, split = [*source.removeprefix("hub:").split(":"), "", ""][:3]
        return [
            dict(r) for r in datasets.load_dataset(name, config or None, split=split or "train")
        ]
    suffixes = [s for s in Path(source.split("?")[0]).suffixes if s not in COMPRESSED]
    reader = READERS.get(suffixes[-1] if suffixes else "")
    if reader is None:
        raise ValueError(
            f"unknown kind of file; one of {', '.join(READERS)} (compressed or not) is read"
        )
    options = {"sep": "\t"} if suffixes[-1] == ".tsv" else {}
    rows = datasets.load_dataset(reader, data_files=source, split="train", **options)
    return [dict(r) for r in rows]


def read_lines(source: str, folder: Path) -> list[str]:
    """Lines of a text file or URL, compressed or not. Raises `OSError`, `UnicodeDecodeError`, or
    `KeyError` for an unset variable."""
    with fsspec.open(expand(source, folder), "rb", compression="infer") as file:
        text: bytes = file.read()
    return split_lines(text.decode("utf-8"))


def unreadable(source: str, error: Exception) -> str:
    """What to tell when reading `source` raised `error`: a `KeyError` is an unset variable in its
    path."""
    if isinstance(error, KeyError):
        return f"{source} needs the environment variable {error}; set it to the data's folder"
    cause: BaseException | None = error
    while cause is not None:  # a library may say only that something went wrong
        if isinstance(cause, UnicodeDecodeError):
            return f"{source} is not UTF-8; save it as UTF-8 (in Excel: CSV UTF-8)"
        cause = cause.__cause__
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
