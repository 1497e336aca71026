"""HTML as the sentences in it that are translated, and all else, which stays as it was written:
tags, attributes, comments, scripts and styles.

What stands between two borders of blocks (a paragraph, a cell, a line break) is one passage, whose
sentences are found with its inline tags left out. A sentence that holds tags is translated whole,
and so is what each tag encloses: where the translation of the latter stands in that of the
sentence, the tags are put around it. Else the sentence is translated piece by piece between its
tags: no tag is ever lost, and word order may be. (So does translate-html of LibreTranslate.)

Does not: translate attributes, or mend HTML that is not well formed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

from polygraft.tasks.translation import segments


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
_BREAK = re.compile(r"[\t\n\r\f]")
_END = " .!?…。؟।"


@dataclass(frozen=True)
class _Tag:
    """What stands at a place of a passage's text and is no text. `opens` and `closes` are the
    element's name; an object has neither."""

    place: int
    written: str
    opens: str = ""
    closes: str = ""


@dataclass
class _Passage:
    """Text without its tags, and the tags."""

    text: str = ""
    tags: list[_Tag] = field(default_factory=list)


@dataclass(frozen=True)
class _Run:
    """Part of a sentence between two tags; `body` is without the white space around it, and empty
    where there is no letter to translate."""

    written: str
    body: str

    @classmethod
    def of(cls, written: str) -> _Run:
        body = " ".join(written.split())
        return cls(written, body if any(c.isalpha() for c in body) else "")

    def with_(self, translation: str) -> str:
        """`translation` in its place, in HTML; a short text is often given an end that it did not
        have."""
        if not self.body:
            return _escaped(self.written)
        if self.body[-1] not in _END:
            translation = translation.rstrip(_END)
        lead = self.written[: len(self.written) - len(self.written.lstrip())]
        tail = self.written[len(self.written.rstrip()) :]
        return _escaped(f"{lead}{translation}{tail}")


@dataclass(frozen=True)
class _Sentence:
    """`tags` are those inside of it, and stand between its `runs`."""

    whole: str
    runs: list[_Run]
    tags: list[_Tag]

    @property
    def texts(self) -> list[str]:
        """What is translated of it: itself, and, where it holds tags, its runs."""
        own = [self.whole] if self._can_be_placed or not self.tags else []
        return own + [run.body for run in self.runs if run.body and self.tags]

    def join(self, translations: Sequence[str]) -> str:
        """In HTML, with the translations of `texts`."""
        if not self.tags:
            return _escaped(translations[0])
        rest = iter(translations[1:] if self._can_be_placed else translations)
        parts = [next(rest) if run.body else run.written for run in self.runs]
        if self._can_be_placed and (placed := self._placed(translations[0], parts)):
            return placed
        pieces = [self.runs[0].with_(parts[0])]
        for tag, run, part in zip(self.tags, self.runs[1:], parts[1:], strict=True):
            pieces += [tag.written, run.with_(part)]
        return "".join(pieces)

    @property
    def _can_be_placed(self) -> bool:
        """Whether its tags are pairs around one run each."""
        pairs = list(zip(self.tags[::2], self.tags[1::2], strict=False))
        return len(self.tags) % 2 == 0 and all(
            first.opens and first.opens == second.closes and self.runs[2 * i + 1].body
            for i, (first, second) in enumerate(pairs)
        )

    def _placed(self, whole: str, parts: Sequence[str]) -> str | None:
        """`whole` with the tags around the translations of what they enclose; None where one of
        those is not found in it once, or two overlap."""
        spans: list[tuple[int, int, int]] = []  # start, end, place of the opening tag
        for i in range(0, len(self.tags), 2):
            enclosed = parts[i + 1].strip(_END)
            found = list(re.finditer(rf"(?<!\w){re.escape(enclosed)}(?!\w)", whole, re.IGNORECASE))
            if not enclosed or len(found) != 1:
                return None
            spans.append((*found[0].span(), i))
        spans.sort()
        if any(second[0] < first[1] for first, second in pairwise(spans)):
            return None
        written, at = "", 0
        for start, end, i in spans:
            opening, closing = self.tags[i].written, self.tags[i + 1].written
            written += f"{_escaped(whole[at:start])}{opening}{_escaped(whole[start:end])}{closing}"
            at = end
        return written + _escaped(whole[at:])


@dataclass(frozen=True)
class Html:
    """A document: what is kept, as it is written, and the sentences between."""

    parts: list[str | _Sentence]

    @classmethod
    def read(cls, written: str, language: str, fits: Callable[[str], bool]) -> Html:
        """`language` tells how sentences end, `fits` whether one is short enough to be translated
        as one."""
        parts: list[str | _Sentence] = []
        for part in _Reader.read(written):
            parts += [part] if isinstance(part, str) else _sentences(part, language, fits)
        return cls(parts)

    @property
    def texts(self) -> list[str]:
        return [text for part in self.parts if isinstance(part, _Sentence) for text in part.texts]

    def join(self, translations: Sequence[str]) -> str:
        """The document again, with the translations of `texts`."""
        new = iter(translations)
        return "".join(
            part.join([next(new) for _ in part.texts]) if isinstance(part, _Sentence) else part
            for part in self.parts
        )


def plain(written: str) -> str:
    """The text of a document that would be translated, to tell its language."""
    passages = [part.text for part in _Reader.read(written) if isinstance(part, _Passage)]
    return " ".join(" ".join(passages).split())


def _sentences(
    passage: _Passage, language: str, fits: Callable[[str], bool]
) -> Iterator[str | _Sentence]:
    """A passage's sentences, and what stands between them. A line break in HTML is a space."""
    tags, at = list(passage.tags), 0

    def kept(end: int, *, with_tags_there: bool) -> str:
        """From `at` to `end`, as it is."""
        nonlocal at
        pieces = []
        while tags and (tags[0].place < end or (with_tags_there and tags[0].place == end)):
            tag = tags.pop(0)
            pieces += [_escaped(passage.text[at : tag.place]), tag.written]
            at = tag.place
        pieces.append(_escaped(passage.text[at:end]))
        at = end
        return "".join(pieces)

    for segment in segments.split(_BREAK.sub(" ", passage.text), language, fits):
        end = at + len(segment.text)
        if not segment.verbatim:
            yield kept(at, with_tags_there=True)
            inside = [tag for tag in tags if tag.place < end]
            del tags[: len(inside)]
            cuts = [at, *(tag.place for tag in inside), end]
            runs = [_Run.of(passage.text[start:stop]) for start, stop in pairwise(cuts)]
            yield _Sentence(" ".join(passage.text[at:end].split()), runs, inside)
            at = end
        yield kept(end + len(segment.after), with_tags_there=False)
    yield kept(len(passage.text), with_tags_there=True)


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


class _Reader(HTMLParser):
    """Cuts a document into passages and what lies between them. What is not text is taken from the
    source as it was written; what the parser does not tell of (comments) is the gap between two
    things that it does."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self._source = source
        self._lines = [0, *(found.end() for found in re.finditer("\n", source))]
        self._parts: list[str | _Passage] = []
        self._passage = _Passage()
        self._end = 0  # of what was taken
        self._untouched: list[str] = []  # open elements of the name of the outermost untouched one

    @classmethod
    def read(cls, source: str) -> list[str | _Passage]:
        reader = cls(source)
        reader.feed(source)
        reader.close()
        reader._keep_until(len(source))
        return [*reader._parts, reader._passage]

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
            self._passage.tags.append(_Tag(len(self._passage.text), written, opens, closes))
        else:
            self._parts += [self._passage, written]
            self._passage = _Passage()

    def _keep_until(self, place: int) -> None:
        if place > self._end:
            gap = self._source[self._end : place]
            self._passage.tags.append(_Tag(len(self._passage.text), gap))
            self._end = place


def _not_to_be_translated(attrs: list[tuple[str, str | None]]) -> bool:
    given = dict(attrs)
    return given.get("translate") == "no" or "notranslate" in (given.get("class") or "").split()
