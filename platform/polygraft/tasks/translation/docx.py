"""Word's documents (ECMA-376, WordprocessingML): the text of their paragraphs is translated, and
every other byte of their XML stays, as do all other files in the archive.

A paragraph whose runs look alike is one text; else its runs are tags in it, which go where their
words go. Text boxes, headers, footers and notes are translated, comments and deleted text are not.
What could be hostile is refused before it is unpacked: archives that unpack to much, XML with a
document type.
"""

from __future__ import annotations

import html
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

from polygraft.errors import InvalidRow, TooLarge
from polygraft.tasks.translation.units import Unit

MAX_FILES, MAX_UNPACKED = 2_000, 64 * 2**20
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
    EOFError,
)
"""What `zipfile` raises for archives that are broken, encrypted or packed otherwise."""
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PARTS = re.compile(r"word/(document|header\d*|footer\d*|footnotes|endnotes)\.xml")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAKS = frozenset({"br", "tab", "cr", "p", "ptab"})


@dataclass(frozen=True)
class _Text:
    """A text element: its bytes' place in the XML, its content, and how its run looks."""

    start: int
    end: int
    content: str
    look: bytes


@dataclass(frozen=True)
class _Line:
    """Texts that stand together, in groups that look alike."""

    groups: list[list[_Text]]

    @property
    def unit(self) -> Unit:
        texts = ["".join(text.content for text in group) for group in self.groups]
        if len(texts) == 1:
            return Unit(texts[0])
        return Unit("".join(f"<a>{html.escape(t, quote=False)}</a>" for t in texts), html=True)

    def replaced(self, translation: str) -> Iterator[tuple[_Text, str]]:
        """What is to stand in each of its text elements."""
        new = [translation]
        if len(self.groups) > 1:
            new = _by_group(translation, len(self.groups))
        for group, content in zip(self.groups, new, strict=True):
            first, *others = group
            yield first, content
            yield from ((other, "") for other in others)


@dataclass(frozen=True)
class _Part:
    """A file of XML in the archive."""

    name: str
    content: bytes
    lines: list[_Line]

    def join(self, translations: Iterator[str]) -> bytes:
        changes = [change for line in self.lines for change in line.replaced(next(translations))]
        written, at = list[bytes](), 0
        for text, content in sorted(changes, key=lambda change: change[0].start):
            tag = re.match(rb"<[^\s/>]+", self.content[text.start :])
            assert tag
            name = tag[0][1:]
            valid = escape(_NOT_XML.sub("", content)).encode()
            element = b'<%s xml:space="preserve">%s</%s>' % (name, valid, name)
            written += [self.content[at : text.start], element]
            at = text.end
        return b"".join([*written, self.content[at:]])


@dataclass(frozen=True)
class Docx:
    """A document; `files` are all that are in the archive, in order."""

    files: list[tuple[zipfile.ZipInfo, bytes]]
    parts: list[_Part]

    @classmethod
    def read(cls, content: bytes) -> Docx:
        """Raises `InvalidRow`, or `TooLarge` for an archive that unpacks to more than is read."""
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                infos = archive.infolist()
                size = sum(info.file_size for info in infos)
                if len(infos) > MAX_FILES or size > MAX_UNPACKED:
                    raise TooLarge(
                        f"the document unpacks to {len(infos):,} files of {size / 2**20:,.0f} MiB; "
                        f"at most {MAX_FILES:,} and {MAX_UNPACKED / 2**20:g} MiB are read"
                    )
                files = [(info, archive.read(info)) for info in infos]
        except UNREADABLE:
            raise _no_docx("it is no archive that can be read") from None
        if "word/document.xml" not in {info.filename for info, _ in files}:
            raise _no_docx("word/document.xml is missing in it")
        parts = [
            _Part(info.filename, part, _Reader(part).read())
            for info, part in files
            if _PARTS.fullmatch(info.filename)
        ]
        return cls(files, parts)

    @property
    def units(self) -> list[Unit]:
        return [line.unit for part in self.parts for line in part.lines]

    def join(self, translations: Sequence[str]) -> bytes:
        new = iter(translations)
        changed = {part.name: part.join(new) for part in self.parts}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for info, content in self.files:
                archive.writestr(info, changed.get(info.filename, content))
        return buffer.getvalue()


@dataclass
class _Reader:
    """Finds the lines of text in one file of XML, and where their bytes are."""

    content: bytes
    _lines: list[_Line] = field(default_factory=list)
    _open: list[list[_Text]] = field(default_factory=list)
    _look: bytes = b""
    _look_from: int | None = None
    _text_from: int | None = None
    _text: list[str] = field(default_factory=list)

    def read(self) -> list[_Line]:
        self._parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        try:
            self._parser.Parse(self.content, True)
        except expat.ExpatError as error:
            raise _no_docx(f"its XML is broken: {error}") from None
        return self._lines

    def _refuse(self, *_: object) -> None:
        raise _no_docx("its XML has a document type, which Word never writes")

    def _start(self, name: str, _: dict[str, str]) -> None:
        element = name.removeprefix(f"{_WORD} ")
        if element == "r":
            self._look = b""
        elif element == "rPr":
            self._look_from = self._parser.CurrentByteIndex
        elif element == "t":
            self._text_from, self._text = self._parser.CurrentByteIndex, []
        elif element in _BREAKS:
            self._end_line()

    def _end(self, name: str) -> None:
        element, at = name.removeprefix(f"{_WORD} "), self._parser.CurrentByteIndex
        if element == "rPr" and self._look_from is not None:
            self._look = self.content[self._look_from : at]
            self._look_from = None
        elif element == "t" and self._text_from is not None:
            end = self.content.find(b">", at) + 1
            text = _Text(self._text_from, end, "".join(self._text), self._look)
            self._text_from = None
            if self._open and self._open[-1][0].look == text.look:
                self._open[-1].append(text)
            else:
                self._open.append([text])
        elif element == "p":
            self._end_line()

    def _characters(self, text: str) -> None:
        if self._text_from is not None:
            self._text.append(text)

    def _end_line(self) -> None:
        line = _Line(self._open)
        if any(text.content.strip() for group in self._open for text in group):
            self._lines.append(line)
        self._open = []


def _by_group(translation: str, count: int) -> list[str]:
    """The text in each of so many pairs of tags; what stands between two goes to the one before."""
    texts, at = [""] * count, -1
    for piece in re.split(r"(</?a>)", translation):
        if piece == "<a>":
            at += 1
        elif piece != "</a>":
            texts[max(0, min(at, count - 1))] += html.unescape(piece)
    return texts


def _no_docx(why: str) -> InvalidRow:
    return InvalidRow(f"the file is not a docx: {why}; save it in Word as .docx and send that")
