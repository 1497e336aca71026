"""HTML as the sentences in it that are translated, and all else, which stays as it was written:
tags, attributes, comments, scripts and styles.

What stands between two borders of blocks (a paragraph, a cell, a line break) is one passage, whose
sentences are found with its inline tags left out. A sentence is translated whole, and, where its
tags are pairs, so is what each encloses: where that stands in the sentence's translation, the tags
are put around it (as in `argostranslate.tags`). Else the tags go where they stood by their share of
the sentence, between words, never inside of an address or the like. No tag is lost. (Translated
piece by piece between its tags, a sentence of ours was hardly one any more.)

Does not: translate attributes, or mend HTML that is not well formed.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest

from polygraft.tasks.translation import segments
from polygraft.tasks.translation.glossary import Glossary
from polygraft.tasks.translation.kept import outside
from polygraft.tasks.translation.passages import Passage, Tag, read_passages

_BREAK = re.compile(r"[\t\n\r\f]")


@dataclass(frozen=True)
class _Sentence:
    """Its text without tags, and the tags inside of it; their places are counted from its start."""

    written: str
    tags: list[Tag]
    glossary: Glossary = ()

    @property
    def texts(self) -> list[str]:
        """What is translated: itself, and what its pairs of tags enclose."""
        return [_spaced(self.written), *(self._enclosed() or [])]

    def join(self, translations: Sequence[str]) -> str:
        """In HTML, with the translations of `texts`."""
        whole, *enclosed = translations
        places = self._by_enclosed(whole, enclosed) or self._by_share(whole)
        places = [outside(whole, place, self.glossary) for place in places]
        written, at = "", 0
        for place, tag in sorted(zip(places, self.tags, strict=True), key=lambda one: one[0]):
            written += _escaped(whole[at:place]) + self._with_space(tag, whole[place:])
            at = place
        return written + _escaped(whole[at:])

    def _enclosed(self) -> list[str] | None:
        """The words that each pair of tags encloses; None where the tags are not all pairs around
        words alone."""
        enclosed = []
        for first, second in zip_longest(self.tags[::2], self.tags[1::2]):
            is_pair = second is not None and first.opens and first.opens == second.closes
            words = _words(self.written[first.place : second.place]) if is_pair else ""
            if not any(c.isalpha() for c in words):
                return None
            enclosed.append(words)
        return enclosed

    def _by_enclosed(self, whole: str, enclosed: Sequence[str]) -> list[int] | None:
        """The place of each tag in the translation `whole`, around the translations of what they
        enclose; None where one of those is not found in it once, or two overlap."""
        spans = []
        for translation in enclosed:
            words = _words(translation)
            matches = list(re.finditer(rf"(?<!\w){re.escape(words)}(?!\w)", whole, re.IGNORECASE))
            if not words or len(matches) != 1:
                return None
            spans.append(matches[0].span())
        if any(second[0] < first[1] for first, second in pairwise(sorted(spans))):
            return None
        return [place for span in spans for place in span]

    def _by_share(self, whole: str) -> list[int]:
        """The place of each tag in the translation `whole`, between words and in the same order, by
        the share of the sentence before it. What enclosed words encloses one at least."""
        words = [match.span() for match in re.finditer(r"\S*\w\S*", whole)]
        if not words:
            return [0] * len(self.tags)
        length, opened, places = _length(self.written), dict[str, tuple[int, int]](), [0]
        number = 0  # of words before the tag
        last_opening = max((i for i, tag in enumerate(self.tags) if tag.opens), default=-1)
        for i, tag in enumerate(self.tags):
            before = _length(self.written[: tag.place])
            number = max(number, round(len(words) * before / length))
            number = min(number, len(words) - 1 if i <= last_opening else len(words))
            opening, read = opened.get(tag.closes, (0, 0))
            if tag.opens:
                opened[tag.opens] = number, before
            if tag.closes and read == before:
                place = places[-1]
            elif tag.closes:
                number = max(number, opening + 1)
                start, place = words[number - 1]
                if not _is_mark(self.written[tag.place - 1]):
                    place = start + len(whole[start:place].rstrip(_marks_of(whole)))
            else:
                place = words[number][0] if number < len(words) else len(whole)
            places.append(max(place, places[-1]))
        return places[1:]

    def _with_space(self, tag: Tag, following: str) -> str:
        """An object has the white space around it that a word would have."""
        before, after = self.written[: tag.place], self.written[tag.place :]
        if tag.opens or tag.closes or not (before[-1:].isspace() and after[:1].isspace()):
            return tag.written
        return f"{tag.written} " if following else f" {tag.written}"


@dataclass(frozen=True)
class Html:
    """A document: what is kept, as it is written, and the sentences between."""

    parts: list[str | _Sentence]

    @classmethod
    def read(
        cls,
        written: str,
        language: str,
        fits: Callable[[str], bool],
        glossary: Glossary = (),
    ) -> Html:
        """`language` tells how sentences end, `fits` whether one is short enough to be translated
        as one, and `glossary` what is no border between two."""
        parts: list[str | _Sentence] = []
        for part in read_passages(written):
            parts += [part] if isinstance(part, str) else _sentences(part, language, fits, glossary)
        return cls(parts)

    @property
    def texts(self) -> list[str]:
        return [text for part in self.parts if isinstance(part, _Sentence) for text in part.texts]

    @property
    def sentences(self) -> list[int]:
        """The places of those of `texts` that are whole sentences, and not what tags enclose."""
        places, at = list[int](), 0
        for part in self.parts:
            if isinstance(part, _Sentence):
                places.append(at)
                at += len(part.texts)
        return places

    def join(self, translations: Sequence[str]) -> str:
        """The document again, with the translations of `texts`."""
        new = iter(translations)
        return "".join(
            part.join([next(new) for _ in part.texts]) if isinstance(part, _Sentence) else part
            for part in self.parts
        )


def plain(written: str) -> str:
    """The text of a document that would be translated, to tell its language."""
    passages = [part.text for part in read_passages(written) if isinstance(part, Passage)]
    return _spaced(" ".join(passages))


def _sentences(
    passage: Passage, language: str, fits: Callable[[str], bool], glossary: Glossary
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

    for segment in segments.split(_BREAK.sub(" ", passage.text), language, fits, glossary):
        end = at + len(segment.text)
        if not segment.verbatim:
            yield kept(at, with_tags_there=True)
            inside = [tag for tag in tags if tag.place < end]
            del tags[: len(inside)]
            moved = [replace(tag, place=tag.place - at) for tag in inside]
            yield _Sentence(passage.text[at:end], moved, glossary)
            at = end
        yield kept(end + len(segment.after), with_tags_there=False)
    yield kept(len(passage.text), with_tags_there=True)


def _words(text: str) -> str:
    """Without the marks and white space before the first word and after the last: a short text is
    often given an end that it did not have."""
    places = [i for i, c in enumerate(text) if not _is_mark(c)]
    return _spaced(text[places[0] : places[-1] + 1]) if places else ""


def _is_mark(character: str) -> bool:
    """Or white space: punctuation, a symbol, a separator, a control."""
    return unicodedata.category(character)[0] in "PSZC"


def _marks_of(text: str) -> str:
    return "".join(c for c in set(text) if _is_mark(c))


def _length(text: str) -> int:
    """In characters that are not white space."""
    return len("".join(text.split()))


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
