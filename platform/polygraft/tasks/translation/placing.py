"""Where in a translation stands what is kept of its sentence."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from polygraft.tasks.translation.kept import HIDDEN, Kind, Place, overlap

_LAST_MARKS = " .,;:!?…۔؟،。)]»”\"'"


@dataclass(frozen=True)
class Item:
    """`written` is to stand in the translation of a sentence. The model reads `read_as` for it, or
    nothing. `share` of the sentence's words stand before it; `joins_before` and `joins_after`:
    there is no white space between it and what is before, and after."""

    written: str
    kind: Kind
    read_as: str
    share: float
    joins_before: bool
    joins_after: bool


@dataclass(frozen=True)
class _Piece:
    """Of a translation; `before` and `after`: whether white space stands there."""

    text: str
    before: bool = False
    after: bool = False


def rebuilt(
    written: str,
    placed: Mapping[Place, Item],
    missing: Sequence[Item],
    surplus: Collection[Place],
    *,
    apart: bool,
) -> str:
    """`written` with the items in their places, the `missing` ones between its words by their
    share, and without what is surplus. `apart`: with white space around each."""
    text, items = _with_hidden(written, placed, surplus)
    there = iter([_Piece(item.written, apart, apart) for item in items])
    words = [match.span() for match in re.finditer(r"\S+", text)]
    places = sorted(
        ((_place_of(item, text, words), item) for item in missing), key=lambda one: one[0]
    )
    pieces, at = list[_Piece](), 0
    for place, item in [*places, (len(text), None)]:
        first, *others = text[at:place].split(HIDDEN)
        pieces.append(_Piece(first))
        for other in others:
            pieces += [next(there), _Piece(other)]
        if item is not None:
            pieces.append(_inserted(item, text[place:], apart=apart))
        at = place
    return _joined([piece for piece in pieces if piece.text])


def _with_hidden(
    written: str, placed: Mapping[Place, Item], surplus: Collection[Place]
) -> tuple[str, list[Item]]:
    """`written` with one character in each item's place, and the items in order."""
    removed = [one for one in surplus if not any(overlap(one, place) for place in placed)]
    if not placed and not removed:
        return written.strip(), []
    text, at, items = "", 0, list[Item]()
    for place in sorted({*placed, *removed}):
        start, end = place
        text += written[at : max(at, start)]
        if place in placed:
            text += HIDDEN
            items.append(placed[place])
        at = max(at, end)
    return re.sub(" {2,}", " ", text + written[at:]).strip(), items


def _place_of(item: Item, text: str, words: Sequence[Place]) -> int:
    """By its share of the words: before a word, or, where it closed one, after it."""
    number = round(item.share * len(words))
    closes = item.kind is Kind.OBJECT and item.joins_before and not item.joins_after
    if closes and number:
        start, end = words[number - 1]
        return start + len(text[start:end].rstrip(_LAST_MARKS))
    return words[number][0] if number < len(words) else len(text.rstrip(_LAST_MARKS))


def _inserted(item: Item, rest: str, *, apart: bool) -> _Piece:
    """The item before the `rest` of the text."""
    if item.kind is Kind.OBJECT and not apart:
        return _Piece(item.written, not item.joins_before, not item.joins_after)
    return _Piece(item.written, True, apart or bool(rest.strip(_LAST_MARKS)))


def _joined(pieces: Sequence[_Piece]) -> str:
    text = pieces[0].text if pieces else ""
    for one, other in pairwise(pieces):
        is_open = one.text[-1:].isspace() or other.text[:1].isspace()
        text += " " * ((one.after or other.before) and not is_open) + other.text
    return text
