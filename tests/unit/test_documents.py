"""Documents: what of them is translated, that their form stays; hostile ones are refused."""

from __future__ import annotations

import io
import re
import zipfile

import pytest

from polygraft.errors import InvalidRow, TooLarge
from polygraft.tasks.translation import docx
from polygraft.tasks.translation.documents import read_document

SRT = (
    "\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\nGood morning,\r\n<i>my dear friend</i>\r\n\r\n"
    "2\r\n00:00:03,000 --> 00:00:04,000 X1:40\r\n12\r\n\r\n"
)
HTML = '<!DOCTYPE html><p class="a">One <b>two</b> &amp; three</p><script>x()</script><p>12</p>'
NAMESPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
BOLD = "<w:rPr><w:b/></w:rPr>"
XML = (
    f'<?xml version="1.0" encoding="UTF-8"?><w:document {NAMESPACE} xmlns:x="urn:x" x:y="1">'
    f"<w:p><w:pPr><w:jc/></w:pPr><w:r><w:t>Hel</w:t></w:r><w:r><w:t>lo &amp; you</w:t></w:r></w:p>"
    f'<w:p><w:r><w:t xml:space="preserve">A </w:t></w:r><w:r>{BOLD}<w:t>bold</w:t></w:r>'
    "<w:r><w:br/><w:t>next</w:t></w:r></w:p><w:p><w:r><w:t> </w:t></w:r></w:p></w:document>"
)


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def word(xml: str = XML, **more: bytes) -> bytes:
    return packed({"[Content_Types].xml": b"<a/>", "word/document.xml": xml.encode()} | more)


def upper(text: str) -> str:
    """In upper case, without touching tags."""
    return re.sub(r"(?<![<&/])\b\w+\b(?![^<]*>)(?!;)", lambda word: word[0].upper(), text)


def translated(content: bytes, kind: str) -> bytes:
    document = read_document(content, kind)
    return document.join([upper(unit.text) for unit in document.units])


def test_a_plain_texts_lines_stay() -> None:
    assert translated(b"\xef\xbb\xbf  one two\r\n\r\n\tthree\n", "txt").decode() == (
        "\ufeff  ONE TWO\r\n\r\n\tTHREE\n"
    )


def test_subtitles_keep_their_numbers_times_and_lines() -> None:
    written = translated(SRT.encode(), "srt").decode()
    assert [unit.text for unit in read_document(SRT.encode(), "srt").units] == [
        "Good morning, <i>my dear friend</i>",
        "12",
    ]
    lines, before = written.split("\r\n"), SRT.split("\r\n")
    assert len(lines) == len(before)
    assert [lines[i] for i in (0, 1, 4, 5, 6, 7, 8)] == [before[i] for i in (0, 1, 4, 5, 6, 7, 8)]
    assert " ".join(lines[2:4]) == "GOOD MORNING, <i>MY DEAR FRIEND</i>"


def test_html_keeps_all_but_its_text() -> None:
    assert [unit.text for unit in read_document(HTML.encode(), "html").units] == [
        "One <b>two</b> &amp; three"
    ]
    assert translated(HTML.encode(), "html").decode() == HTML.replace("One", "ONE").replace(
        "two", "TWO"
    ).replace("three", "THREE")


def test_a_docx_keeps_every_byte_but_its_texts() -> None:
    given = word(picture=bytes(range(256)))
    document = read_document(given, "docx")
    assert [unit.text for unit in document.units] == [
        "Hello & you",
        "<a>A </a><a>bold</a>",
        "next",
    ]
    new = document.join(["Salut <toi>", "<a>gras</a><a> Un</a> &amp; b", "su\x01ite"])
    with zipfile.ZipFile(io.BytesIO(new)) as archive:
        assert archive.namelist() == ["[Content_Types].xml", "word/document.xml", "picture"]
        assert archive.read("picture") == bytes(range(256))
        xml = archive.read("word/document.xml").decode()
    text = re.compile(r"<w:t[^>]*>([^<]*)</w:t>")
    assert text.findall(xml) == ["Salut &lt;toi&gt;", "", "gras", " Un &amp; b", "suite", " "]
    assert text.sub("", xml) == text.sub("", XML), "all else is as it was"


BOMB = packed({"word/document.xml": b" " * (docx.MAX_UNPACKED + 1)})
ENTITIES = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    ("content", "kind", "error", "told"),
    [
        (b"%PDF-1.7 ...", "txt", InvalidRow, "it is no text"),
        (b"\xff\xfeh\0i\0", "txt", InvalidRow, "not txt in UTF-8: byte 1"),
        (word(), "html", InvalidRow, "not html"),
        (b"just text", "srt", InvalidRow, "no subtitles"),
        (b"just text", "docx", InvalidRow, "no archive"),
        (word()[:-30], "docx", InvalidRow, "no archive"),
        (packed({"a": b""}), "docx", InvalidRow, "word/document.xml is missing"),
        (word("<a"), "docx", InvalidRow, "its XML is broken"),
        (word(ENTITIES), "docx", InvalidRow, "a document type"),
        (BOMB, "docx", TooLarge, "unpacks to 1 files of 64 MiB"),
        (packed({str(i): b"" for i in range(docx.MAX_FILES + 1)}), "docx", TooLarge, "2,001 files"),
    ],
)
def test_what_is_no_such_file_or_hostile_is_refused(
    content: bytes, kind: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=re.escape(told)):
        read_document(content, kind)
