"""Files of rows in text formats: JSON Lines and JSON, CSV and TSV with a header, plain text, a row
a line. One way to read them for every command, and no training library needed.

Does not: fetch files, read what is compressed, or Parquet (see `reading`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from polygraft.data.delimited import parse_csv, parse_tsv
from polygraft.data.encoding import decoded
from polygraft.data.lines import split_lines
from polygraft.data.parsed import ParsedTable
from polygraft.errors import DataError

MAX_PROBLEMS = 20
LINE = "line"  # the column of a file of plain text
EXAMPLE = '{"text": "a text", "label": "a label"}'


def parse(text: str, kind: str) -> ParsedTable:
    """The rows of a file's text; `kind` is one of `KINDS`."""
    return KINDS[kind](text)


def read_table(source: str, column: str = "text", kind: str | None = None) -> list[dict[str, Any]]:
    """The rows of a file ("-" is standard input), each with its text in `column`. `kind` is one of
    `KINDS`; None: what the file's name says, else JSON Lines.

    Raises `DataError`, with the line of each problem.
    """
    kind = kind or SUFFIXES.get(Path(source).suffix.lower(), "jsonl")
    table = parse(_text_of(source), kind)
    if kind == "lines":
        return [{column: row[LINE]} for row in table.rows]
    if table.header is not None and column not in table.header:
        raise DataError(source, [f"line 1 is the header, and {_without(column, table.header)}"])
    problems = table.problems + [
        f"line {line} {_without(column, row)}"
        for line, row in zip(table.lines, table.rows, strict=True)
        if column not in row
    ]
    if problems:
        raise DataError(source, problems[:MAX_PROBLEMS])
    return table.rows


def _text_of(source: str) -> str:
    if source == "-":
        return decoded(sys.stdin.buffer.read(), "standard input")
    if not Path(source).is_file():
        raise DataError(source, ["no such file; give one, or - for standard input"])
    return decoded(Path(source).read_bytes(), source)


def _without(column: str, there: Iterable[object]) -> str:
    names = ", ".join(map(str, there)) or "nothing"
    return f"has no {column!r}, it has {names}; say with --text which is the text"


def _json_lines(text: str) -> ParsedTable:
    """Objects, a line each, or all of them in one list."""
    if text.lstrip().startswith("["):
        return _json_list(text)
    table = ParsedTable()
    for number, line in enumerate(split_lines(text), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            table.problems.append(f"line {number} is not JSON: {_where(error)}")
            continue
        if isinstance(row, dict):
            table.add(number, row)
        else:
            table.problems.append(f"line {number} is not an object, such as {EXAMPLE}")
    return table


def _json_list(text: str) -> ParsedTable:
    table = ParsedTable()
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        table.problems.append(f"line {error.lineno} is not JSON: {_where(error)}")
        return table
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            table.add(number, row)
        else:
            table.problems.append(f"item {number} is not an object, such as {EXAMPLE}")
    return table


def _where(error: ValueError) -> str:
    """What is wrong with a JSON text, and the column of its line."""
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    return f"{error.msg}, at column {error.colno}; write a row as {EXAMPLE}"


def _lines(text: str) -> ParsedTable:
    table = ParsedTable()
    for number, line in enumerate(split_lines(text), 1):
        if line.strip():
            table.add(number, {LINE: line.removesuffix("\r")})
    return table


KINDS: dict[str, Callable[[str], ParsedTable]] = {
    "jsonl": _json_lines,
    "csv": parse_csv,
    "tsv": parse_tsv,
    "lines": _lines,
}
SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".txt": "lines"}
