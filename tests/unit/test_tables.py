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
        (
            "a.csv",
            'id;text\n1;a, b\n2;"c; d"\n',
            [{"id": "1", "text": "a, b"}, {"id": "2", "text": "c; d"}],
        ),
        ("a.csv", "text;label (a, b)\nx;a\n", [{"text": "x", "label (a, b)": "a"}]),
        ("a.csv", "text\tid\na, b\t1\n", [{"text": "a, b", "id": "1"}]),
        ("a.csv", "text,id,,\nx,01,,\n,,,\n", [{"text": "x", "id": "01"}]),
        ("a.csv", ",text\n0,x\n", [{"column 1": "0", "text": "x"}]),
        ("a.csv", "text,id\n" + "x" * 200_000 + ",1\n", [{"text": "x" * 200_000, "id": "1"}]),
        (
            "a.tsv",
            'text\tid\n"so what\t1\nhe said "hi"\t2\nthe end"\t3\n',
            [
                {"text": '"so what', "id": "1"},
                {"text": 'he said "hi"', "id": "2"},
                {"text": 'the end"', "id": "3"},
            ],
        ),
        ("a.tsv", 'text\tid\n"he said ""hi"""\t1\n', [{"text": 'he said "hi"', "id": "1"}]),
        (
            "a.tsv",
            'text\tid\n"two\nlines"\t1\nx\t2\n',
            [{"text": "two\nlines", "id": "1"}, {"text": "x", "id": "2"}],
        ),
        ("a.tsv", "text\tid\nčau\t1\n".encode("utf-16"), [{"text": "čau", "id": "1"}]),
        ("a.json", '[\n{"text": "x"},\n{"text": "y"}]', [{"text": "x"}, {"text": "y"}]),
    ],
)
def test_rows_of_each_kind_of_file(
    tmp_path: Path, name: str, text: str | bytes, rows: list[dict[str, object]]
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
        ("a.jsonl", "[1]", ["item 1 is not an object, such as"]),
        (
            "a.csv",
            "id,message\n1,x\n2,y\n",
            ["1 problem", "has no 'text', it has id, message; say with --text"],
        ),
        (
            "a.csv",
            "text,id\nx\ny,1,2\n",
            ["line 2 has 1 field, separated by commas, the header has 2", "line 3 has 3 fields"],
        ),
        ("a.csv", "text,text\nx,y\n", ["names 'text' twice"]),
        ("a.csv", 'text\n"never closed\n', ["line 2 has a quote that is not closed"]),
        ("a.csv", "", ["has no 'text', it has nothing"]),
        ("a.csv", 'text,id\nx,1\n"so" they said,2\n', ["line 3 has a quote", "double a quote"]),
        (
            "a.csv",
            'text,label\n"one,spam\nx,spam\ny,ham\nz",ham\nx,spam\ny,ham\n',
            ["line 2 opens a quote that is closed on line 5"],
        ),
        (
            "a.tsv",
            'text\tlabel\n"one\tspam\nx\tspam\nz"\tham\nx\tspam\ny\n',
            ["line 6 has 1 field, separated by tabs, the header has 2: a text of a TSV holds no"],
        ),
        ("a.json", '[{"text": "x"},\n{"text": }]', ["line 2 is not JSON: Expecting value, at"]),
        ("a.txt", b"caf\xe9", ["line 1 is not UTF-8 (byte 0xe9; as Windows-1252 it is 'é')"]),
        ("a.csv", b"text\ncaf\xe9\n", ["line 2 is not UTF-8", "iconv -f WINDOWS-1252"]),
    ],
)
def test_every_problem_is_told_with_its_line(
    tmp_path: Path, name: str, text: str | bytes, told: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        read_table(written(tmp_path, name, text))
    assert all(one in str(caught.value) for one in told), caught.value


def test_a_text_with_line_breaks_is_no_row_that_a_quote_swallowed(tmp_path: Path) -> None:
    text = 'text,label\n"Dear all, spam\nis back, ham\n",ham\n\nx,spam\n\ny,ham\n'
    rows = read_table(written(tmp_path, "a.csv", text))
    assert [row["label"] for row in rows] == ["ham", "spam", "ham"]
