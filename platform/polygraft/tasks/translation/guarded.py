"""A sentence as the model reads it, and its translation with everything in it that is to be kept.

Numbers are read as they are. Of what is kept otherwise the model knows nothing, so a name stands
in for it, one that the model writes as it reads it (`STAND_INS`). Where the name is found in the
translation, what it stood for is put; what was not written is put between words, by its share of
the sentence (`placing`). What has no place in a sentence's grammar (emoji, tags) is left out and
put back the same way, at its ends where it stood there. So nothing is lost, whatever is written
(tests/bench/kept.py says how often the model finds the place itself).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from polygraft.tasks.translation.glossary import Glossary
from polygraft.tasks.translation.kept import HIDDEN, Kind, Place, Span, kept, spans
from polygraft.tasks.translation.placing import Item, rebuilt

STAND_INS = ("Boston", "Paris", "Tom", "David", "London", "Mary", "Australia", "John")
"""In the order they are used; of a sentence those that it does not have itself. Of 17 names those
that six adapters copied most often (Boston 20% to 93% of the time)."""
_JOINING = (".", ",", ":")
"""A number right behind one of these reads as a part of what is before."""
NOTHING = "."
"""What the model reads of a sentence that has nothing to translate."""


@dataclass(frozen=True)
class Guarded:
    """`text` is what the model reads. `before` and `after` are what stands at the sentence's ends
    and is no part of it. `elsewhere`: what is kept in the rest of the text, and so may not be
    written here once more. `whole`: a sentence that stays as it is."""

    text: str
    items: tuple[Item, ...] = ()
    before: str = ""
    after: str = ""
    elsewhere: frozenset[str] = frozenset()
    whole: str | None = None

    @classmethod
    def read(
        cls, sentence: str, glossary: Glossary = (), elsewhere: frozenset[str] = frozenset()
    ) -> Guarded:
        found = spans(sentence, glossary)
        if not _has_words(sentence, found):
            return cls(NOTHING, whole=sentence)
        start, end = _inner(sentence, found)
        inside = [span for span in found if start <= span.start and span.end <= end]
        names = _free_stand_ins(sentence)
        words = len(_without(sentence, inside, start, end).split())
        parts, at, items = list[str](), start, list[Item]()
        for span in inside:
            read_as = span.written if span.kind is Kind.NUMBER else ""
            if span.kind in (Kind.NAME, Kind.TERM):
                read_as = next(names, "")
            before = len(_without(sentence, inside, start, span.start).split())
            items.append(
                Item(
                    span.written,
                    span.kind,
                    read_as,
                    share=before / words if words else 0.0,
                    joins_before=start < span.start and not sentence[span.start - 1].isspace(),
                    joins_after=span.end < end and not sentence[span.end].isspace(),
                )
            )
            parts += [sentence[at : span.start], read_as]
            at = span.end
        text = re.sub(" {2,}", " ", "".join([*parts, sentence[at:end]])).strip()
        return cls(text, tuple(items), sentence[:start], sentence[end:], elsewhere)

    def partial(self, written: str) -> str:
        """A translation that is still being written, with what the stand-ins in it stand for."""
        if self.whole is not None:
            return self.whole
        for item in self.items:
            for start, end in reversed(_stand_ins(item, written)):
                written = written[:start] + item.written + written[end:]
        return self.before + written

    def restore(self, written: str) -> str:
        """The translation with everything that is to be kept, each as often as the sentence has
        it."""
        if self.whole is not None:
            return self.whole
        written = written.replace(HIDDEN, "")
        restored = self._put(written)
        if not self._is_kept(restored):
            restored = self._put(written, apart=True)
        if not self._is_kept(restored):
            restored = self._put(_letters(written), apart=True)
        return self.before + restored + self.after

    # inside

    def _put(self, written: str, *, apart: bool = False) -> str:
        """The items in their places in `written`; `apart`: with white space around each."""
        there = kept(written)
        numbers = [
            span.place
            for span in there
            if span.kind is Kind.NUMBER and written[span.start - 1 : span.start] not in _JOINING
        ]
        placed, missing = dict[Place, Item](), list[Item]()
        for item in self.items:
            places = _stand_ins(item, written)
            if item.kind is Kind.NUMBER:
                places = [place for place in numbers if written[slice(*place)] == item.written]
            free = next((place for place in places if place not in placed), None)
            if free is None:
                missing.append(item)
            else:
                placed[free] = item
        # a number that was written wrongly stands in the place of the right one
        wrong = iter([place for place in numbers if place not in placed])
        for item in [one for one in missing if one.kind is Kind.NUMBER]:
            if (place := next(wrong, None)) is not None:
                placed[place] = item
                missing.remove(item)
        return rebuilt(written, placed, missing, self._surplus(written, there), apart=apart)

    def _surplus(self, written: str, there: Sequence[Span]) -> list[Place]:
        """What the model wrote of itself: stand-ins once more, numbers that the text has, and
        addresses and the like, of which it read none."""
        own = {item.written for item in self.items} | self.elsewhere
        places = [
            span.place for span in there if span.kind is not Kind.NUMBER or span.written in own
        ]
        return places + [place for item in self.items for place in _stand_ins(item, written)]

    def _is_kept(self, restored: str) -> bool:
        """Whether each item stands in it just as often as it is to."""
        expected, terms = Counter[str](), Counter[str]()
        for item in self.items:
            expected.update(span.written for span in kept(item.written))
            if item.kind is Kind.TERM:
                terms[item.written] += 1
        counted = Counter(span.written for span in kept(restored))
        forbidden = self.elsewhere - expected.keys()
        return (
            all(counted[one] == count for one, count in expected.items())
            and all(restored.count(one) >= count for one, count in terms.items())
            and not forbidden & counted.keys()
        )


def kept_in(text: str) -> frozenset[str]:
    """What of a text is kept: none of it is to be written where it does not stand."""
    return frozenset(span.written for span in kept(text))


def _has_words(sentence: str, found: Sequence[Span]) -> bool:
    """Whether there is anything to translate in it: a term, or a letter outside of what is
    kept."""
    if any(span.kind is Kind.TERM for span in found):
        return True
    return any(c.isalpha() for c in _without(sentence, found, 0, len(sentence)))


def _inner(sentence: str, found: Sequence[Span]) -> tuple[int, int]:
    """Where the sentence starts and ends without the objects at its ends."""
    start, end = 0, len(sentence)
    for span in found:
        if span.kind is not Kind.OBJECT or sentence[start : span.start].strip():
            break
        start = len(sentence) - len(sentence[span.end :].lstrip())
    for span in reversed(found):
        if span.kind is not Kind.OBJECT or sentence[span.end : end].strip():
            break
        end = len(sentence[: span.start].rstrip())
    return start, end


def _without(sentence: str, found: Sequence[Span], start: int, end: int) -> str:
    """`sentence[start:end]` without what is kept in it."""
    parts, at = list[str](), start
    for span in found:
        if start <= span.start and span.end <= end:
            parts.append(sentence[at : span.start])
            at = span.end
    return " ".join([*parts, sentence[at:end]])


def _free_stand_ins(sentence: str) -> Iterator[str]:
    lowered = sentence.casefold()
    return (name for name in STAND_INS if name.casefold() not in lowered)


def _stand_ins(item: Item, written: str) -> list[Place]:
    """Where the item's stand-in is written."""
    if item.kind is Kind.NUMBER or not item.read_as:
        return []
    name = re.compile(rf"(?<!\w){re.escape(item.read_as)}(?!\w)", re.IGNORECASE)
    return [match.span() for match in name.finditer(written)]


def _letters(text: str) -> str:
    """Its letters and their marks alone: nothing in it is found to be kept."""
    return " ".join("".join(c if unicodedata.category(c)[0] in "LM" else " " for c in text).split())
