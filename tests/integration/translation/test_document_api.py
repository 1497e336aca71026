"""`POST /v1/translate/document`."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from polygraft.serve.routes import documents

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello {name}!\nSee you soon\n\n"
XML = (
    '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:p><w:r>'
    "<w:t>Hello mum. See you at 10:30.</w:t></w:r></w:p></w:document>"
)


def send(api: TestClient, content: bytes, kind: str, **more: Any) -> Any:
    params = {"format": kind, "source": "en", "target": "yo"} | more
    return api.post("/v1/translate/document", params=params, content=content)


def test_text_is_translated_line_by_line(api: TestClient) -> None:
    answer = send(api, b"hello mum\n\nsee you soon\n", "txt")
    alone = [
        api.post("/v1/translate", json={"text": line, "source": "en", "target": "yo"}).json()
        for line in ("hello mum", "see you soon")
    ]
    assert answer.text.split("\n") == [
        alone[0]["results"][0]["translation"],
        "",
        alone[1]["results"][0]["translation"],
        "",
    ]
    assert answer.headers["x-translation-quality"] == "usable"
    assert answer.headers["x-translation-check"] == "0 of 2"


def test_subtitles_html_and_docx_keep_their_form(api: TestClient) -> None:
    lines = send(api, SRT.encode(), "srt").text.split("\n")
    assert lines[:2] == SRT.split("\n")[:2]
    assert "{name}" in "".join(lines[2:])
    html = send(api, b"<h1>Hello</h1><p>see <b>you</b></p>", "html")
    assert html.text.startswith("<h1>")
    assert html.text.count("<b>") == 1
    assert html.headers["content-type"].startswith("text/html")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/document.xml", XML)
    with zipfile.ZipFile(io.BytesIO(send(api, buffer.getvalue(), "docx").content)) as archive:
        xml = archive.read("word/document.xml").decode()
    assert xml.startswith(XML.partition("<w:t>")[0])
    ElementTree.fromstring(xml)
    assert "Hello mum" not in xml
    assert "10:30" in xml


@pytest.mark.parametrize(
    ("content", "kind", "more", "status", "told"),
    [
        (b"hello", "docx", {}, 422, "not a docx"),
        (b"  \n", "txt", {}, 422, "no text"),
        (b"hello", "pdf", {}, 422, "format"),
        (b"hello", "txt", {"target": "xx"}, 422, "no adapter translates"),
        (b"hello", "txt", {"target": "en"}, 422, "already"),
        (b"hello", "txt", {"adapter": "nobody"}, 404, "no adapter named"),
        (b"a" * (documents.MAX_CHARACTERS + 1), "txt", {}, 413, "send it in parts"),
        (b"hello\n" + b"a" * 20_001, "txt", {}, 422, "part 2 of 2"),
        (b"hello", "txt", {"beam": 99}, 422, "beam is 99"),
    ],
)
def test_what_cannot_be_translated_is_told(
    api: TestClient, content: bytes, kind: str, more: dict[str, Any], status: int, told: str
) -> None:
    answer = send(api, content, kind, **more)
    assert answer.status_code == status, answer.text
    assert told in answer.json()["error"]["message"]


def test_its_language_is_told_by_its_beginning(api: TestClient) -> None:
    params = {"format": "txt", "target": "en"}
    answer = api.post("/v1/translate/document", params=params, content="Aloha ʻoe\nmum".encode())
    detected = api.post("/detect", json={"q": "Aloha ʻoe mum "}).json()[0]["language"]
    assert answer.status_code == (200 if detected in ("haw", "yo") else 422), answer.text
