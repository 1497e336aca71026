"""Text to model inputs: the one tokenizer call that training, pretraining and serving share.

A backbone folder holds `tokenizer.json` (read by the `tokenizers` library) and, in `config.json`,
the key `case_feature`. With it on, every token also gets a **case id**, fed through BERT's
token-type input: the vocabulary is lower-cased, so this is how "FREE" and "free" stay different.

Does not: pad to tensors of a framework, know adapters, or truncate silently (`Encoded.truncated`
says so).
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from polygraft.architectures.conventions import Conventions, Direction, read_conventions
from polygraft.architectures.registry import encoder_config, family_named
from polygraft.errors import BackboneError

LOWER, TITLE, UPPER = 0, 1, 2
CASE_IDS = 3
MOST_MARKS = 30
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Encoded:
    """One text as token ids and case ids, special tokens included; both lists have the same
    length."""

    ids: list[int]
    cases: list[int]
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.ids)


class EncodedWords(NamedTuple):
    """A text's own tokens, without special ones: their ids, their case ids, and for each the place
    of its word. A word of which the tokenizer keeps nothing (a control character) has no token."""

    ids: list[int]
    cases: list[int]
    words: list[int]


def not_unicode(text: str) -> str | None:
    """What is wrong with a text that is not valid Unicode, as half of a UTF-16 pair (`"\\ud800"` in
    JSON); else None."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return (
            f"the text is not valid Unicode: character {error.start + 1} is a lone surrogate; send "
            "it as UTF-8"
        )
    return None


def too_many_marks(text: str) -> str | None:
    """What is wrong with a text with more than `MOST_MARKS` combining marks on one letter; else
    None. Normalising such a run takes time by its square (1.2 s for 20,000); no language needs ten
    (UAX #15, section 13, allows 30)."""
    if text.isascii():
        return None
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > MOST_MARKS:
            return (
                f"the text has more than {MOST_MARKS} combining marks on one letter; leave them out"
            )
    return None


def case_of(word: str) -> int:
    """Case id of one surface word: UPPER needs two cased letters, so that "I" and "A" count as
    TITLE."""
    first = next((c for c in word if c.isalpha()), "")
    if not first.isupper():
        return LOWER
    return UPPER if word.isupper() and sum(c.isalpha() for c in word) > 1 else TITLE


class TextEncoder:
    """Wraps one `tokenizer.json`. Thread-safe: it keeps no state between calls."""

    def __init__(
        self,
        tokenizer_file: str | Path,
        *,
        case_feature: bool,
        max_length: int,
        window: int | None = None,
        pad_id: int = 0,
        inputs: Sequence[str] = INPUTS,
        conventions: Conventions | None = None,
    ) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.case_feature = case_feature
        self.max_length = max_length
        self.window = min(window or max_length, max_length)
        self.pad_id = pad_id
        self.inputs, self.conventions = inputs, conventions
        special = self.tokenizer.encode("a").special_tokens_mask
        # T5 opens with none
        self._opening = special.index(0) if 0 in special else len(special)
        self._closing = special[::-1].index(0) if 0 in special else 0
        ids = self.tokenizer.encode("a").ids
        self._special = ids[: self._opening], ids[len(ids) - self._closing :]

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Encode texts; those over `max_length` tokens keep their beginning and the closing special
        token."""
        texts = [unicodedata.normalize("NFC", text) for text in texts]
        return [
            self._one(e, text)
            for e, text in zip(self.tokenizer.encode_batch(texts), texts, strict=True)
        ]

    def encode_sources(
        self, texts: Sequence[str], directions: Sequence[Direction]
    ) -> list[Encoded]:
        """Encode texts that are to be translated, each in its direction: the backbone may have to
        be told the languages. Raises `KeyError` for one that it does not know."""
        conventions = self.conventions
        if conventions is None:
            return self.encode(texts)
        prefixed = [
            conventions.prefixed(text, direction)
            for text, direction in zip(texts, directions, strict=True)
        ]
        rows = self.encode(prefixed)
        if not conventions.source:
            return rows
        return [
            self._put_around(row, *conventions.around(direction))
            for row, direction in zip(rows, directions, strict=True)
        ]

    def encode_words(self, texts: Sequence[Sequence[str]]) -> list[EncodedWords]:
        """Encode texts that are cut into words already, none of them shortened: the tokens of each
        with the place of the word that it is of."""
        texts = [[unicodedata.normalize("NFC", word) for word in words] for words in texts]
        encodings = self.tokenizer.encode_batch(
            texts, is_pretokenized=True, add_special_tokens=False
        )
        encoded = list[EncodedWords]()
        for words, encoding in zip(texts, encodings, strict=True):
            case = [case_of(word) if self.case_feature else LOWER for word in words]
            places = [place for place in encoding.word_ids if place is not None]
            encoded.append(EncodedWords(encoding.ids, [case[place] for place in places], places))
        return encoded

    def enclosed(self, ids: Sequence[int], cases: Sequence[int]) -> Encoded:
        """Tokens of a text, at most `max_length` with the special ones, between the special
        ones."""
        opening, closing = self._special
        return Encoded(
            [*opening, *ids, *closing],
            [*[LOWER] * len(opening), *cases, *[LOWER] * len(closing)],
        )

    @property
    def special_tokens(self) -> tuple[int, int]:
        """How many stand before a text's own tokens, and how many behind them."""
        return self._opening, self._closing

    def windows(self, text: Encoded, tokens: int | None = None) -> list[Encoded]:
        """An encoded text cut into as few windows of at most `tokens` tokens as it takes, special
        ones included, all of about the same length; itself where it fits. None: the encoder's own
        `window`."""
        tokens = min(tokens or self.window, self.max_length)
        if len(text) <= tokens:
            return [text]
        end = len(text) - self._closing
        start, room = self._opening, tokens - self._opening - self._closing
        count = -(-(end - start) // room)
        edges = [start + (end - start) * i // count for i in range(count + 1)]

        def cut(values: list[int], first: int, last: int) -> list[int]:
            return values[:start] + values[first:last] + values[end:]

        return [
            Encoded(cut(text.ids, first, last), cut(text.cases, first, last), text.truncated)
            for first, last in pairwise(edges)
        ]

    def characters_read(self, text: str) -> int:
        """How many characters of `text`, from its first, `encode` keeps tokens of."""
        composed = unicodedata.normalize("NFC", text)
        encoding = self.tokenizer.encode(composed)
        if len(encoding.ids) <= self.max_length:
            return len(text)
        end: int = encoding.offsets[self.max_length - self._closing - 1][1]
        if len(composed) == len(text):
            return end
        return bisect_left(
            range(len(text)), end, key=lambda n: len(unicodedata.normalize("NFC", text[:n]))
        )

    def pad(self, rows: Sequence[Encoded]) -> dict[str, NDArray[np.int64]]:
        """What the backbone reads of encoded rows, int64 [rows, longest] each (see `pad`)."""
        return pad(rows, self.pad_id, self.inputs)

    def _put_around(self, row: Encoded, before: list[str], after: list[str]) -> Encoded:
        """The row with these pieces in place of the tokenizer's own."""
        opening, closing = ([self._id(piece) for piece in pieces] for pieces in (before, after))
        room = self.max_length - len(opening) - len(closing)
        own = row.ids[self._opening : len(row.ids) - self._closing]
        ids = [*opening, *own[:room], *closing]
        return Encoded(ids, [LOWER] * len(ids), row.truncated or len(own) > room)

    def _id(self, piece: str) -> int:
        found: int | None = self.tokenizer.token_to_id(piece)
        if found is None:
            raise BackboneError(
                f"the encoder's vocabulary has no piece {piece!r}, which backbone.json names; the "
                "backbone's files do not belong together: copy its folder whole, or make it again"
            )
        return found

    def _one(self, encoding: object, text: str) -> Encoded:
        ids: list[int] = encoding.ids  # type: ignore[attr-defined]
        cases = self._cases(encoding, text) if self.case_feature else [LOWER] * len(ids)
        if len(ids) <= self.max_length:
            return Encoded(ids, cases)
        keep = self.max_length - self._closing
        tail = len(ids) - self._closing
        return Encoded(ids[:keep] + ids[tail:], cases[:keep] + cases[tail:], truncated=True)

    @staticmethod
    def _cases(encoding: object, text: str) -> list[int]:
        words: list[int | None] = encoding.word_ids  # type: ignore[attr-defined]
        offsets: list[tuple[int, int]] = encoding.offsets  # type: ignore[attr-defined]
        spans: dict[int, tuple[int, int]] = {}
        for word, (start, end) in zip(words, offsets, strict=True):
            if word is not None:
                spans[word] = (min(spans[word][0], start), end) if word in spans else (start, end)
        case = {word: case_of(text[start:end]) for word, (start, end) in spans.items()}
        return [LOWER if word is None else case[word] for word in words]


def load_encoder(
    backbone: Path, max_length: int | None = None, window: int | None = None
) -> TextEncoder:
    """The encoder of a backbone folder; rows are cut at `max_length` or at what the backbone can
    read."""
    config = encoder_config(backbone)
    family = family_named(config.get("model_type"))
    longest = family.max_length(config)
    return TextEncoder(
        backbone / "tokenizer.json",
        case_feature=config.get("case_feature", False),
        max_length=min(max_length or longest, longest),
        window=window,
        pad_id=config.get("pad_token_id") or 0,
        inputs=family.inputs,
        conventions=read_conventions(backbone),
    )


def pad(
    rows: Sequence[Encoded], pad_id: int, inputs: Sequence[str] = INPUTS
) -> dict[str, NDArray[np.int64]]:
    """Stack encoded rows into `inputs`: of `input_ids`, `attention_mask` and `token_type_ids`, each
    int64 [rows, longest]."""
    longest = max(len(row) for row in rows)
    batch = {name: np.zeros((len(rows), longest), np.int64) for name in INPUTS}
    batch["input_ids"][:] = pad_id
    for i, row in enumerate(rows):
        batch["input_ids"][i, : len(row)] = row.ids
        batch["attention_mask"][i, : len(row)] = 1
        batch["token_type_ids"][i, : len(row)] = row.cases
    return {name: batch[name] for name in inputs}
