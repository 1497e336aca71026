"""HTML cut into passages of text and what lies between them: the borders of blocks, and what is not
to be translated."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser


def _names(elements: str) -> frozenset[str]:
    return frozenset(elements.split())


UNTOUCHED = _names("code kbd math noscript pre samp script style svg template textarea var")
"""Elements that are kept with their content, as is what says `translate="no"`."""
INLINE = _names(
    "a abbr b bdi bdo big cite data del dfn em font i ins label mark q s small span strike strong "
    "sub sup time tt u"
)
OBJECTS = _names("code img input kbd math samp svg var wbr")
"""Inside a sentence like a word, but one that has no translation."""
VOID = _names("area base br col embed hr img input link meta source track wbr")


@dataclass(frozen=True)
class Tag:
    """What stands at a place of a passage's text and is no text. `opens` and `closes` are the
    element's name; an object has neither."""

    place: int
    written: str
    opens: str = ""
    closes: str = ""


@dataclass
class Passage:
    """Text without its tags, and the tags."""

    text: str = ""
    tags: list[Tag] = field(default_factory=list)

    def add(self, written: str, opens: str = "", closes: str = "") -> None:
        """A tag where the text ends now. An element without content is one object."""
        place, last = len(self.text), self.tags[-1] if self.tags else None
        if last is not None and closes and (last.opens, last.place) == (closes, place):
            self.tags[-1] = Tag(place, last.written + written)
        else:
            self.tags.append(Tag(place, written, opens, closes))


def read_passages(source: str) -> list[str | Passage]:
    """The passages of a document, and the markup between them, in order."""
    return _Reader(source).read()


class _Reader(HTMLParser):
    """Cuts a document into passages and what lies between them. What is not text is taken from the
    source as it was written; what the parser does not tell of (comments) is the gap between two
    things that it does."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self._source = source
        self._lines = [0, *(match.end() for match in re.finditer("\n", source))]
        self._parts: list[str | Passage] = []
        self._passage = Passage()
        self._end = 0  # of what was taken
        self._untouched: list[str] = []  # open elements of the name of the outermost untouched one

    def read(self) -> list[str | Passage]:
        self.feed(self._source)
        self.close()
        self._keep_until(len(self._source))
        return [*self._parts, self._passage]

    # called by the parser, in the order of the source

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._untouched:
            self._untouched += [tag] if tag == self._untouched[0] else []
        elif tag not in VOID and (tag in UNTOUCHED or _not_to_be_translated(attrs)):
            self._untouched = [tag]
        else:
            self._take_tag(tag, self._start_tag_end, opens=tag if tag in INLINE else "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._untouched:
            self._take_tag(tag, self._start_tag_end)

    def handle_endtag(self, tag: str) -> None:
        end = self._source.find(">", self._place) + 1 or len(self._source)
        if not self._untouched:
            self._take_tag(tag, end, closes=tag if tag in INLINE else "")
        elif tag == self._untouched[0]:
            self._untouched.pop()
            if not self._untouched:
                self._take(tag, self._source[self._end : end])
                self._end = end

    def handle_data(self, data: str) -> None:
        self._take_text(len(data))

    def handle_entityref(self, name: str) -> None:
        self._take_reference(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._take_reference(f"&#{name};")

    # inside

    @property
    def _place(self) -> int:
        """In the source, of what the parser tells of now."""
        line, column = self.getpos()
        return self._lines[line - 1] + column

    @property
    def _start_tag_end(self) -> int:
        return self._place + len(self.get_starttag_text() or "")

    def _take_reference(self, written: str) -> None:
        """The semicolon may be missing."""
        has_end = self._source.startswith(";", self._place + len(written) - 1)
        self._take_text(len(written) if has_end else len(written) - 1)

    def _take_text(self, length: int) -> None:
        if not self._untouched:
            place = self._place
            self._keep_until(place)
            self._end = place + length
            self._passage.text += html.unescape(self._source[place : self._end])

    def _take_tag(self, name: str, end: int, *, opens: str = "", closes: str = "") -> None:
        place = self._place
        self._keep_until(place)
        self._end = end
        self._take(name, self._source[place:end], opens, closes)

    def _take(self, name: str, written: str, opens: str = "", closes: str = "") -> None:
        """Put what is no text into the passage, or end that with it."""
        if name in INLINE | OBJECTS:
            self._passage.add(written, opens, closes)
        else:
            self._parts += [self._passage, written]
            self._passage = Passage()

    def _keep_until(self, place: int) -> None:
        if place > self._end:
            self._passage.add(self._source[self._end : place])
            self._end = place


def _not_to_be_translated(attrs: list[tuple[str, str | None]]) -> bool:
    given = dict(attrs)
    return given.get("translate") == "no" or "notranslate" in (given.get("class") or "").split()
