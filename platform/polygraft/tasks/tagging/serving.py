"""Tagging: the spans of a text, or a tag for each of its words, by a chain over the words of the
text as it was sent. numpy only.

Does not: train (see `training`), or compute metrics (see `metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.adapters.format import Adapter
from polygraft.architectures.text import TextEncoder
from polygraft.errors import GoldenMismatch, InvalidOption, InvalidRow
from polygraft.runtime.rows import Answer, Row
from polygraft.tasks.goldens import MIN_EFFECT, compare_numbers, effect, same_width
from polygraft.tasks.serving import Floats, Output, Replay, RowPlan, ServedTask, beginning
from polygraft.tasks.tagging.head import Head, read_head
from polygraft.tasks.tagging.manifest import TaggingManifest
from polygraft.tasks.tagging.scheme import spans_of_tags, split_tag
from polygraft.tasks.tagging.windows import Window, states_of_words, windows_of
from polygraft.tasks.tagging.words import Word, pieces_of, words_of

SCORE_DIGITS = 6
LEXICAL_TOLERANCE = 1e-2
"""Of the size of a golden's lexical emissions: the same sums on every machine, up to their
order."""


@dataclass(frozen=True)
class Tag:
    """`text[start:end]` of the text as it was sent, in code points. `score`: the probability that
    just these words are a span of this label; of a word, that it has this tag."""

    start: int
    end: int
    text: str
    label: str
    score: float

    def record(self) -> dict[str, Any]:
        return {**vars(self), "score": round(self.score, SCORE_DIGITS)}


@dataclass(frozen=True)
class Tagged(Answer):
    """`tags` are spans in order; where not `spans`, they are the words, each with its tag."""

    tags: list[Tag]
    spans: bool

    @property
    def size(self) -> int:
        return len(self.tags)

    def fields(self) -> dict[str, Any]:
        return {"spans" if self.spans else "word_tags": [tag.record() for tag in self.tags]}

    summary = fields


class Tagging(ServedTask):
    """A row is answered with spans, or with the tags of its words."""

    manifest = TaggingManifest
    answer_fields = frozenset({"spans", "word_tags"})

    def read_head(self, manifest: TaggingManifest, tensors: Mapping[str, NDArray[Any]]) -> Head:
        return read_head(manifest, tensors)

    def plan(self, row: Row, adapter: Adapter, stack: list[str], encoder: TextEncoder) -> RowPlan:
        _check_options(row)
        text = beginning(row)
        words = words_of(text)
        pieces = pieces_of(text, words)
        windows = _windows(adapter, pieces, encoder)
        if not windows:
            raise InvalidRow(
                "nothing is left of the text when it is normalised: it holds nothing but control "
                "characters; send letters or digits"
            )

        def answer(states: Sequence[Floats]) -> Tagged:
            emissions = adapter.head.emissions(states_of_words(windows, states, len(words)), pieces)
            tags = tags_of(adapter.head, adapter.manifest, emissions, text, words)
            return Tagged(
                adapter.name,
                adapter.version,
                tags,
                adapter.manifest.scheme != "none",
                stack=stack,
            )

        return RowPlan([window.encoded for window in windows], Output.STATES, answer)

    def verify_goldens(self, adapter: Adapter, replay: Replay) -> None:
        """A head that was trained on the bare backbone has the bias, what it gives to no state, as
        its bare outputs."""
        head, goldens = adapter.head, adapter.manifest.golden_tags
        texts = [pieces_of(golden.text, words_of(golden.text)) for golden in goldens]
        cut = [_windows(adapter, pieces, replay.encoder) for pieces in texts]
        flat = [window.encoded for windows in cut for window in windows]
        states = replay.states(flat)
        same_width(adapter.name, "head reads", head.weight.shape[1], states[0][0].shape[1])
        now, bare = (
            np.concatenate(
                [
                    head.neural(states_of_words(windows, of_text, len(pieces)))
                    for windows, of_text, pieces in zip(
                        cut, _by_text(some, cut), texts, strict=True
                    )
                ]
            )
            for some in states
        )
        then, then_bare = (
            np.concatenate([np.reshape(values, (-1, len(head.bias))) for values in kept])
            for kept in ([g.neural for g in goldens], [g.bare for g in goldens])
        )
        if now.shape != then.shape:
            raise GoldenMismatch(
                f"adapter {adapter.name!r}: its goldens have {len(then)} words, and this version "
                f"cuts their texts into {len(now)}; train it again"
            )
        if effect(now, bare) < MIN_EFFECT:
            bare = np.tile(head.bias, (len(now), 1))
        compare_numbers(adapter.name, now, bare, then, then_bare)
        if head.lexical:
            for golden, pieces in zip(goldens, texts, strict=True):
                _compare_lexical(adapter.name, head.lexical.emissions(pieces), golden.lexical)


TASK = Tagging()


def tags_of(
    head: Head, manifest: TaggingManifest, emissions: Floats, text: str, words: Sequence[Word]
) -> list[Tag]:
    """What is answered for the words of `text` with these emissions [words, tags]."""
    best = head.chain.best(emissions)
    names = [manifest.tags[place] for place in best]
    found = spans_of_tags(names)
    if manifest.scheme != "none" and not found:
        return []
    sums = head.chain.sums(emissions)
    if manifest.scheme == "none":
        shares = sums.words()[np.arange(len(best)), best]
        return [
            Tag(*word, text[word.start : word.end], name, float(share))
            for word, name, share in zip(words, names, shares, strict=True)
        ]
    goes_on = np.array([split_tag(tag)[0] in ("I", "E") for tag in manifest.tags])
    tags = list[Tag]()
    for first, end, label in found:
        start, stop = words[first].start, words[end - 1].end
        score = sums.span(first, best[first:end], goes_on)
        tags.append(Tag(start, stop, text[start:stop], label, score))
    return tags


def _windows(adapter: Adapter, pieces: Sequence[str], encoder: TextEncoder) -> list[Window]:
    (encoded,) = encoder.encode_words([pieces])
    return windows_of(encoder, encoded, adapter.manifest.window)


def _check_options(row: Row) -> None:
    """Raises `InvalidOption` for what only other tasks know."""
    for given, name in (
        (row.target is not None, "target"),
        (row.html, "format: html"),
        (row.threshold is not None, "threshold"),
        (row.head not in (None, row.adapter), "head"),
    ):
        if given:
            raise InvalidOption(f"adapter {row.adapter!r} tags words; leave {name} out")


def _by_text(states: Sequence[Floats], cut: Sequence[Sequence[Window]]) -> list[list[Floats]]:
    """The states of all windows, a list a text."""
    every = iter(states)
    return [[next(every) for _ in windows] for windows in cut]


def _compare_lexical(name: str, now: Floats, then: Sequence[float]) -> None:
    """Raises `GoldenMismatch` where the lexical part does not give what it gave in training."""
    apart = float(np.abs(now - np.reshape(then, now.shape)).max())
    allowed = LEXICAL_TOLERANCE * max(1.0, float(np.abs(now).max()))
    if not apart <= allowed:
        raise GoldenMismatch(
            f"adapter {name!r}: its lexical part does not give what it gave when it was trained "
            f"({apart:.4f} apart, allowed {allowed:.4f}); its files changed, or this version reads "
            "words in another way: train it again"
        )
