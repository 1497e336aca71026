"""CSV and TSV with a header as rows of text: no cell is taken for a number, a date or a missing
value.

Records are read by the standard library's `csv`, strictly. What it cannot know is decided here:
which mark separates the columns, whether a quote in a TSV belongs to the text (it does in
`text/tab-separated-values`, it does not where a spreadsheet wrote the file), and whether a quote
that was never meant to open a field has swallowed the rows up to the next one. Does not: open
files.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from polygraft.data.lines import split_lines
from polygraft.data.parsed import ParsedTable

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
QUOTED = re.compile(r'"(?:[^"]|"")*"')


class Record(NamedTuple):
    """The lines that a record begins and ends on, from 1, and its fields."""

    begin: int
    end: int
    fields: list[str]


def parse_csv(text: str) -> ParsedTable:
    """Columns separated by commas, semicolons (Excel's choice where a comma is the decimal mark)
    or tabs: by what fits the header and the most rows."""
    first_line = text.lstrip("\r\n").partition("\n")[0]
    likely = sorted(DELIMITERS, key=first_line.count, reverse=True)
    separated = [mark for mark in likely if mark in first_line] or [","]
    tables = (parse_tsv(text) if mark == "\t" else _quoted(text, mark) for mark in separated)
    return _best(tables)


def parse_tsv(text: str) -> ParsedTable:
    """Columns separated by tabs: a row a line, whose quotes are its own unless all are written as a
    spreadsheet does; else, where that fits no better, rows whose quoted fields may hold line
    breaks."""
    return _best((_literal(text), _quoted(text, "\t")))


def _best(tables: Iterable[ParsedTable]) -> ParsedTable:
    """The first without problems, else the first of those with the fewest; the later ones are not
    made where they are not needed."""
    best: ParsedTable | None = None
    for table in tables:
        if not table.problems:
            return table
        if best is None or len(table.problems) < len(best.problems):
            best = table
    assert best is not None
    return best


def _literal(text: str) -> ParsedTable:
    lines = [line.removesuffix("\r").split("\t") for line in split_lines(text)]
    with_quotes = [field for fields in lines for field in fields if '"' in field]
    if all(QUOTED.fullmatch(field) for field in with_quotes):
        lines = [list(map(_unquoted, fields)) for fields in lines]
    records = [Record(number, number, fields) for number, fields in enumerate(lines, 1)]
    return _table(records, "\t", "a text of a TSV holds no tab and no line break")


def _unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if field.startswith('"') else field


def _quoted(text: str, delimiter: str) -> ParsedTable:
    """Fields that are quoted where they hold delimiters, quotes or line breaks (RFC 4180)."""
    lines, records, broken = list(io.StringIO(text, newline="")), list[Record](), list[str]()
    csv.field_size_limit(sys.maxsize)  # a text may be longer than the 131,072 characters of old
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begin = 1
    try:
        for fields in reader:
            records.append(Record(begin, reader.line_num, fields))
            begin = reader.line_num + 1
    except csv.Error as error:
        broken.append(
            f"line {begin} has a quote that is not closed, or closed before the field ends "
            f"({error}); double a quote that belongs to a text, and quote the text"
        )
    table = _table(records, delimiter, f"quote a field that holds {delimiter!r}")
    table.problems.extend(broken or _swallowed(records, lines, delimiter))
    return table


def _table(records: Sequence[Record], delimiter: str, remedy: str) -> ParsedTable:
    """Rows of records whose first is the header. Blank ones are skipped, and fields that are empty
    beyond the header's are dropped: spreadsheets leave both."""
    records = [record for record in records if any(map(str.strip, record.fields))]
    if not records:
        return ParsedTable(header=[])
    names = _without_empty_end(records[0].fields, 0)
    header = [name.strip() or f"column {place}" for place, name in enumerate(names, 1)]
    table = ParsedTable(header=header)
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        table.problems.append(
            f"line {records[0].begin} is the header, and names {', '.join(map(repr, repeated))} "
            "twice; give each column a name of its own"
        )
        return table
    for record in records[1:]:
        fields = _without_empty_end(record.fields, len(header))
        if len(fields) == len(header):
            table.add(record.begin, dict(zip(header, fields, strict=True)))
        else:
            count = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
            table.problems.append(
                f"line {record.begin} has {count}, separated by {DELIMITERS[delimiter]}, the "
                f"header has {len(header)}: {remedy}"
            )
    return table


def _without_empty_end(fields: list[str], least: int) -> list[str]:
    """`fields` without the empty ones at the end; at least `least` stay."""
    count = len(fields)
    while count > least and not fields[count - 1].strip():
        count -= 1
    return fields[:count]


def _swallowed(records: Sequence[Record], lines: Sequence[str], delimiter: str) -> Iterator[str]:
    """What to say of records on several lines where a line inside is a row of its own: as many
    fields as the header, and one of them a value that others have in that column, such as a
    label."""
    width = len(records[0].fields) if records else 0
    if width < 2 or len(records) == len(lines):
        return
    whole = [r.fields for r in records if r.begin == r.end and len(r.fields) == width]
    values = [{fields[place] for fields in whole} - {""} for place in range(width)]
    for record in records:
        for line in lines[record.begin - 1 : record.end - 1]:
            fields = line.rstrip("\r\n").split(delimiter)
            alike = any(field in known for field, known in zip(fields, values, strict=False))
            if len(fields) == width and alike:
                yield (
                    f"line {record.begin} opens a quote that is closed on line {record.end}, and "
                    "what lies between looks like rows; double a quote that belongs to a text, "
                    "and quote the text"
                )
                break
