"""Files of texts for `predict` and `suggest`."""

from __future__ import annotations

from pathlib import Path

import pytest

from polygraft.cli.serving import Kind
from polygraft.data.tables import KINDS, read_table
from polygraft.errors import DataError


def written(folder: Path, name: str, text: str | bytes) -> str:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        (
            "a.jsonl",
            '{"text": "x", "id": 1}\n\n{"text": "y"}',
            [{"text": "x", "id": 1}, {"text": "y"}],
        ),
        ("a", '{"text": "a\u2028b"}\n', [{"text": "a\u2028b"}]),
        (
            "a.csv",
            'id,text\n1,"a, ""b"""\n2,c\n',
            [{"id": "1", "text": 'a, "b"'}, {"id": "2", "text": "c"}],
        ),
        ("A.CSV", "\ufefftext\r\nx\r\n\r\ny\r\n", [{"text": "x"}, {"text": "y"}]),
        ("a.csv", 'text\n"two\nlines"\n', [{"text": "two\nlines"}]),
        ("a.csv", "text\na\u2028b\x85c\n", [{"text": "a\u2028b\x85c"}]),
        ("a.csv", "text\n", []),
        ("a.tsv", "text\tid\na, b\t1\n", [{"text": "a, b", "id": "1"}]),
        (
            "a.txt",
            "one\r\n\n two \nthree\u2028four",
            [{"text": "one"}, {"text": " two "}, {"text": "three\u2028four"}],
        ),
        ("a.txt", "", []),
    ],
)
def test_rows_of_each_kind_of_file(
    tmp_path: Path, name: str, text: str, rows: list[dict[str, object]]
) -> None:
    assert read_table(written(tmp_path, name, text)) == rows


def test_the_kind_and_the_column_may_be_said(tmp_path: Path) -> None:
    file = written(tmp_path, "a.log", "message\n1,2\n")
    assert read_table(file, kind="lines") == [{"text": "message"}, {"text": "1,2"}]
    file = written(tmp_path, "b.csv", "text,message\n1,x\n")
    assert read_table(file, "message") == [{"text": "1", "message": "x"}]
    assert {kind.value for kind in Kind} == set(KINDS)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "a.jsonl",
            '{"text": "x"}\nnot json\n{"txt": 1}',
            ["line 2 is not JSON", "line 3 has no 'text', it has txt"],
        ),
        ("a.jsonl", "[1]", ['line 1 is not an object with "text"']),
        (
            "a.csv",
            "id,message\n1,x\n2,y\n",
            ["1 problem", "has no 'text', it has id, message; say with --text"],
        ),
        (
            "a.csv",
            "text,id\nx\ny,1,2\n",
            ["line 2 has 1 fields, the header has 2", "line 3 has 3 fields"],
        ),
        ("a.csv", "text,text\nx,y\n", ["names 'text' twice"]),
        ("a.csv", 'text\n"never closed\n', ["cannot be read: unexpected end of data"]),
        ("a.csv", "", ["has no 'text', it has nothing"]),
        ("a.txt", b"caf\xe9", ["byte 4 is not UTF-8"]),
        ("a.csv", b"text\ncaf\xe9\n", ["byte 9 is not UTF-8"]),
    ],
)
def test_every_problem_is_told_with_its_line(
    tmp_path: Path, name: str, text: str | bytes, told: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        read_table(written(tmp_path, name, text))
    assert all(one in str(caught.value) for one in told), caught.value
