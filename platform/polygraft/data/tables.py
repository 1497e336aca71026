"""A file of texts as rows, for commands that need no training libraries: JSON Lines, CSV and TSV
with a header, or plain text, a row a line.

Does not: read what is compressed, or Parquet (see `reading`).
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from polygraft.data.lines import split_lines
from polygraft.errors import DataError

MAX_PROBLEMS = 20
Records = Iterator[tuple[int, Any]]
"""Line number and row; a string in a row's place says what is wrong with it."""


def read_table(source: str, column: str = "text", kind: str | None = None) -> list[dict[str, Any]]:
    """The rows of a file ("-" is standard input), each with its text in `column`. `kind` is one of
    `KINDS`; None: what the file's name says, else JSON Lines.

    Raises `DataError`, with the line of each problem.
    """
    kind = kind or SUFFIXES.get(Path(source).suffix.lower(), "jsonl")
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, row in KINDS[kind](_text_of(source), column):
        if isinstance(row, str):
            problems.append(f"line {number} {row}")
        elif column not in row:
            problems.append(f"line {number} {_without(column, row)}")
        else:
            rows.append(row)
    if problems:
        raise DataError(source, problems[:MAX_PROBLEMS])
    return rows


def _text_of(source: str) -> str:
    """A mark of the byte order (Excel writes one) is none of the text."""
    if source == "-":
        return sys.stdin.read().removeprefix("\ufeff")
    if not Path(source).is_file():
        raise DataError(source, ["no such file; give one, or - for standard input"])
    try:
        return Path(source).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            source, [f"byte {error.start + 1} is not UTF-8; save the file in that encoding"]
        ) from None


def _json_lines(text: str, column: str) -> Records:
    for number, line in enumerate(split_lines(text), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield number, f"is not JSON: {error}"
            continue
        yield number, row if isinstance(row, dict) else f'is not an object with "{column}"'


def _lines(text: str, column: str) -> Records:
    for number, line in enumerate(split_lines(text), 1):
        if line.strip():
            yield number, {column: line.removesuffix("\r")}


def _without(column: str, there: Iterable[object]) -> str:
    names = ", ".join(map(str, there)) or "nothing"
    return f"has no {column!r}, it has {names}; say with --text which is the text"


def _delimited(delimiter: str) -> Callable[[str, str], Records]:
    def read(text: str, column: str) -> Records:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            header = next(lines, [])
            if repeated := sorted({name for name in header if header.count(name) > 1}):
                yield 1, f"is the header, and names {', '.join(map(repr, repeated))} twice"
                return
            if column not in header:
                yield 1, f"is the header, and {_without(column, header)}"
                return
            for fields in lines:
                if len(fields) == len(header):
                    yield lines.line_num, dict(zip(header, fields, strict=True))
                elif fields:
                    yield (
                        lines.line_num,
                        f"has {len(fields)} fields, the header has {len(header)}: quote a field "
                        f"that holds {delimiter!r}",
                    )
        except csv.Error as error:
            yield lines.line_num, f"cannot be read: {error}"

    return read


KINDS: dict[str, Callable[[str, str], Records]] = {
    "jsonl": _json_lines,
    "csv": _delimited(","),
    "tsv": _delimited("\t"),
    "lines": _lines,
}
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".txt": "lines"}
