"""Files whose text is translated and whose form is kept: plain text, subtitles (SubRip), HTML; and
Word's, see `docx`.

A document is cut into units, each of which is translated as a text of its own: a line, a subtitle,
what stands between two borders of blocks. `read_document` opens one of a kind.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from polygraft.errors import InvalidRow
from polygraft.tasks.translation.docx import Docx
from polygraft.tasks.translation.passages import Passage, read_passages
from polygraft.tasks.translation.units import Unit

_TIMES = re.compile(r"[ \t]*\d+:\d\d:\d\d[,.]\d{1,3}[ \t]*-->[ \t]*\d+:\d\d:\d\d[,.]\d{1,3}.*")


class Document(Protocol):
    """A file that was read."""

    @property
    def units(self) -> Sequence[Unit]:
        """What is translated, in order."""

    def join(self, translations: Sequence[str]) -> bytes:
        """The file again, with the translations of the units."""


@dataclass(frozen=True)
class _Pieces:
    """A text in pieces: those that are translated, and those that stay."""

    pieces: list[str | Unit]

    @property
    def units(self) -> list[Unit]:
        return [piece for piece in self.pieces if isinstance(piece, Unit)]

    def join(self, translations: Sequence[str]) -> bytes:
        new = iter(translations)
        return "".join(
            piece.written(next(new)) if isinstance(piece, Unit) else piece for piece in self.pieces
        ).encode()


def read_document(content: bytes, kind: str) -> Document:
    """A file of a kind of `KINDS`. Raises `InvalidRow` for one that is none."""
    return KINDS[kind].read(content)


def _read_plain(content: bytes) -> _Pieces:
    pieces = list[str | Unit]()
    for line in _lines(_decoded(content, "txt")):
        body = line.strip()
        start = line.find(body)
        pieces += [line[:start], Unit(body) if body else "", line[start + len(body) :]]
    return _Pieces(pieces)


def _read_subtitles(content: bytes) -> _Pieces:
    """Times and numbers stay; a subtitle's lines are translated together, and its translation has
    as many."""
    pieces, cue, in_cue, cues = list[str | Unit](), list[str](), False, 0

    def end_cue() -> None:
        if not cue:
            return
        lines = [line.strip() for line in cue]
        ending = cue[-1][len(cue[-1].rstrip("\r\n")) :]
        newline = "\r\n" if cue[0].endswith("\r\n") else "\n"
        pieces.append(Unit(" ".join(lines), lines=len(lines), newline=newline))
        pieces.append(ending)
        cue.clear()

    for line in _lines(_decoded(content, "srt")):
        if _TIMES.fullmatch(line.rstrip("\r\n")):
            cues += 1
            in_cue = True
        elif in_cue and line.strip():
            cue.append(line)
            continue
        else:
            in_cue = False
        end_cue()
        pieces.append(line)
    end_cue()
    if not cues:
        raise InvalidRow(
            "the file has no subtitles: no line like 00:00:01,000 --> 00:00:02,500; send it as txt"
        )
    return _Pieces(pieces)


def _read_html(content: bytes) -> _Pieces:
    text = _decoded(content, "html")
    pieces = list[str | Unit]()
    for part in read_passages(text):
        if isinstance(part, str):
            pieces.append(part)
        elif any(c.isalpha() for c in part.text):
            pieces.append(Unit(_source(part), html=True))
        else:
            pieces.append(_source(part))
    return _Pieces(pieces)


def _lines(text: str) -> list[str]:
    """With their line feeds."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _source(passage: Passage) -> str:
    """A passage as HTML."""
    written, at = "", 0
    for tag in passage.tags:
        written += html.escape(passage.text[at : tag.place], quote=False) + tag.written
        at = tag.place
    return written + html.escape(passage.text[at:], quote=False)


def _decoded(content: bytes, kind: str) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRow(
            f"the file is not {kind} in UTF-8: byte {error.start + 1} is none of it; save it as "
            "UTF-8, or send the format that it has"
        ) from None
    if "\0" in text or text.startswith("%PDF"):
        raise InvalidRow(f"the file is not {kind}: it is no text; send the format that it has")
    return text


@dataclass(frozen=True)
class Kind:
    """How a kind of file is read, and its media type."""

    read: Callable[[bytes], Document]
    media_type: str


KINDS = {
    "txt": Kind(_read_plain, "text/plain; charset=utf-8"),
    "srt": Kind(_read_subtitles, "application/x-subrip"),
    "html": Kind(_read_html, "text/html; charset=utf-8"),
    "docx": Kind(
        Docx.read, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    ),
}
