"""HTML as the sentences in it that are translated, and all else, which stays as it was written:
tags, attributes, comments, scripts and styles.

What stands between two borders of blocks (a paragraph, a cell, a line break) is one passage, whose
sentences are found with its inline tags left out. A sentence that holds tags is translated whole,
and so is what each tag encloses: where the translation of the latter stands in that of the
sentence, the tags are put around it. Else the sentence is translated piece by piece between its
tags: no tag is ever lost, and word order may be. (So does Argos Translate, `argostranslate.tags`.)

Does not: translate attributes, or mend HTML that is not well formed.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from polygraft.tasks.translation import segments
from polygraft.tasks.translation.passages import Passage, Tag, read_passages

_BREAK = re.compile(r"[\t\n\r\f]")
_MARKS = frozenset("PSZC")  # of Unicode's categories: punctuation, symbols, separators, controls


@dataclass(frozen=True)
class _Run:
    """Part of a sentence between two tags: its words, and the marks and white space around them,
    which stay. `words` is empty where there is no letter to translate."""

    before: str
    words: str
    after: str

    @classmethod
    def of(cls, written: str) -> _Run:
        before, words, after = _apart(written)
        if not any(c.isalpha() for c in words):
            return cls(written, "", "")
        return cls(before, " ".join(words.split()), after)

    def translated(self, translation: str) -> str:
        """In HTML. A short text is often given an end that it did not have: it is left out."""
        return _escaped(f"{self.before}{_apart(translation)[1] if self.words else ''}{self.after}")


@dataclass(frozen=True)
class _Sentence:
    """`tags` are those inside of it, and stand between its `runs`."""

    whole: str
    runs: list[_Run]
    tags: list[Tag]

    @property
    def texts(self) -> list[str]:
        """What is translated of it: itself, and, where it holds tags, its runs."""
        own = [self.whole] if self._can_be_placed or not self.tags else []
        return own + [run.words for run in self.runs if run.words and self.tags]

    def join(self, translations: Sequence[str]) -> str:
        """In HTML, with the translations of `texts`."""
        if not self.tags:
            return _escaped(translations[0])
        rest = iter(translations[1:] if self._can_be_placed else translations)
        parts = [next(rest) if run.words else "" for run in self.runs]
        if self._can_be_placed and (placed := self._placed(translations[0], parts)):
            return placed
        pieces = [self.runs[0].translated(parts[0])]
        for tag, run, part in zip(self.tags, self.runs[1:], parts[1:], strict=True):
            pieces += [tag.written, run.translated(part)]
        return "".join(pieces)

    @property
    def _can_be_placed(self) -> bool:
        """Whether its tags are pairs around one run each."""
        pairs = list(zip(self.tags[::2], self.tags[1::2], strict=False))
        return len(self.tags) % 2 == 0 and all(
            first.opens and first.opens == second.closes and self.runs[2 * i + 1].words
            for i, (first, second) in enumerate(pairs)
        )

    def _placed(self, whole: str, parts: Sequence[str]) -> str | None:
        """`whole` with the tags around the translations of what they enclose; None where one of
        those is not found in it once, or two overlap."""
        spans: list[tuple[int, int, int]] = []  # start, end, place of the opening tag
        for i in range(0, len(self.tags), 2):
            _, enclosed, _ = _apart(parts[i + 1])
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
        for part in read_passages(written):
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
    passages = [part.text for part in read_passages(written) if isinstance(part, Passage)]
    return " ".join(" ".join(passages).split())


def _sentences(
    passage: Passage, language: str, fits: Callable[[str], bool]
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


def _apart(text: str) -> tuple[str, str, str]:
    """The marks and white space before the first word, the words, and those after the last."""
    places = [i for i, c in enumerate(text) if unicodedata.category(c)[0] not in _MARKS]
    first, last = (places[0], places[-1] + 1) if places else (len(text), len(text))
    return text[:first], text[first:last], text[last:]


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
