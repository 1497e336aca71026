"""Writing text token by token: the decoder's two ONNX graphs, and what a batch of unfinished texts
remembers.

Rows of one batch may have different adapters, target languages and search settings; a text with
beam b has b rows. Each row has its own position, so texts leave when they are done and others join
between two steps (continuous batching, Yu et al. 2022, Orca, section 3). Does not: tokenize, split
text, or know requests (see `decode_worker` and `writer`).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import DecoderCard, Floats, Stack, open_session, value
from polygraft.runtime.search import BeamState, Hypothesis, Search

BLOCKED = np.float32(-10_000)
# Source and cache columns begin and end at multiples of this: a sum over a row's columns is then
# the same to the last bit, whatever lies beside them (found for 2 to 64 source tokens and 0 to 59
# columns). With every other offset 1 of 1,004 translations changed with its neighbours.
ALIGNED = 4
Ints = NDArray[np.int64]
Kind = TypeVar("Kind", bound=np.generic)


class DecoderSession:
    """The `cross` and `step` graphs, each call on one core. Any thread may call."""

    def __init__(self, cross: Path, step: Path, card: DecoderCard) -> None:
        self.card = card
        self._cross, self._step = open_session(cross), open_session(step)
        self.inputs = {
            i.name for session in (self._cross, self._step) for i in session.get_inputs()
        }
        self._cross_inputs = {i.name for i in self._cross.get_inputs()}
        self._step_inputs = {i.name for i in self._step.get_inputs()}

    def cross(self, states: Floats, mix: Floats, banks: dict[str, ort.OrtValue]) -> list[Floats]:
        """states [rows, seq, hidden] -> key and value of every layer, each [rows, heads, seq,
        size]."""
        feeds = banks | {"states": value(states), "mix": value(mix)}
        feeds = {name: fed for name, fed in feeds.items() if name in self._cross_inputs}
        return [output.numpy() for output in self._cross.run_with_ort_values(None, feeds)]

    def step(self, feeds: dict[str, ort.OrtValue]) -> list[ort.OrtValue]:
        """tokens [rows, best], scores [rows, best], then the grown cache."""
        feeds = {name: fed for name, fed in feeds.items() if name in self._step_inputs}
        outputs: list[ort.OrtValue] = self._step.run_with_ort_values(None, feeds)
        return outputs


@dataclass(eq=False)
class DecodeRequest:
    """One text to write: encoder states float32 [seq, hidden], the decoder's slots with their
    weights, the tokens it starts with, which are given (the target language's tag), how to search,
    and at most how many tokens."""

    states: Floats
    stack: Stack
    start: Sequence[int]
    search: Search
    max_tokens: int


@dataclass(eq=False)
class _OpenText:
    """A text in the batch, the search over it, and the tokens of its start that are still to be
    given."""

    request: DecodeRequest
    state: BeamState
    given: list[int]

    @property
    def rows(self) -> int:
        return self.request.search.beam

    def advance(self, tokens: Ints, scores: Floats) -> list[tuple[int, int]] | None:
        """See `BeamState.advance`. While the start is given, what follows is no choice."""
        if not self.given:
            return self.state.advance(tokens, scores)
        token = self.given.pop(0)
        return [(beam, token) for beam in range(self.rows)]


class DecoderBatch:
    """The texts being written. Not thread-safe: one thread owns it.

    A row is one beam of a text; the rows of a text stand together, in the order of `_open`.
    """

    def __init__(
        self, session: DecoderSession, bank: Bank, end: int, never: Sequence[int] = ()
    ) -> None:
        self.session, self.bank, self.end, self.never = session, bank, end, never
        self._open: list[_OpenText] = []
        # The slots whose arrays lie side by side in `_banks`, the bank's count of changes when they
        # were laid there, and how many ranks each has.
        self._slots: list[int] = []
        self._banks: dict[str, ort.OrtValue] = {}
        self._bank_changes, self._rank = -1, 0
        card = session.card
        empty = np.zeros((0, card.heads, 0, card.head_size), np.float32)
        # Keys and values of every layer: of the tokens written so far, [rows, heads, past, size],
        # and of the source, [rows, heads, seq, size].
        self._past: list[ort.OrtValue] = [value(empty)] * (2 * card.layers)
        self._cross: list[Floats] = [empty] * (2 * card.layers)
        # Which columns of them are the row's own, [rows, past] and [rows, seq].
        self._own_past = np.zeros((0, 0), bool)
        self._own_source = np.zeros((0, 0), bool)
        # Of each row: the token to go on from, its position, its slots.
        self._token, self._position = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._stacks: list[Stack] = []
        self._constant_feeds: dict[str, ort.OrtValue] = {}

    @property
    def rows(self) -> int:
        return len(self._token)

    @property
    def may_join(self) -> bool:
        """Whether a text that is added now has its own columns of the cache where they would lie if
        it were alone."""
        return self._own_past.shape[1] % ALIGNED == 0

    def add(self, requests: Sequence[DecodeRequest]) -> None:
        """Take texts in; they are written from the next step on. Only when they `may_join`: else
        the last bits of their scores would depend on the others."""
        longest = _aligned(max(len(r.states) for r in requests))
        states = np.zeros((len(requests), longest, requests[0].states.shape[1]), np.float32)
        own_source = np.zeros((len(requests), longest), bool)
        for i, request in enumerate(requests):
            states[i, : len(request.states)] = request.states
            own_source[i, : len(request.states)] = True
        stacks = [r.stack for r in requests]
        self._take_banks(stacks)
        cross = self.session.cross(states, self._mix(stacks), self._banks)
        beams = [r.search.beam for r in requests]
        request_of_row = np.repeat(np.arange(len(requests)), beams)
        rows, past = len(request_of_row), self._own_past.shape[1]
        for request in requests:
            state = BeamState(request.search, self.end, request.max_tokens, self.never)
            self._open.append(_OpenText(request, state, list(request.start[1:])))
        self._cross = [
            _join_padded(old, new[request_of_row])
            for old, new in zip(self._cross, cross, strict=True)
        ]
        self._own_source = _join_padded(self._own_source, own_source[request_of_row])
        self._own_past = np.concatenate([self._own_past, np.zeros((rows, past), bool)])
        card = self.session.card
        unwritten = np.zeros((rows, card.heads, past, card.head_size), np.float32)
        self._past = [value(np.concatenate([p.numpy(), unwritten])) for p in self._past]
        starts = np.repeat([r.start[0] for r in requests], beams)
        self._token = np.concatenate([self._token, starts])
        self._position = np.concatenate([self._position, np.zeros(rows, np.int64)])
        self._stacks += [stacks[i] for i in request_of_row]
        self._set_constant_feeds()

    def step(self) -> list[tuple[DecodeRequest, list[Hypothesis]]]:
        """Write one token of every text; returns those that are done, with their hypotheses, best
        first."""
        best = max(text.state.next_tokens_needed for text in self._open)
        mask = np.zeros((self.rows, self._own_past.shape[1] + 1), np.float32)
        mask[:, :-1][~self._own_past] = BLOCKED
        feeds = self._constant_feeds | {
            "token": value(self._token),
            "position": value(self._position),
            "mask": value(mask),
            "best": value(np.array([best], np.int64)),
        }
        feeds |= dict(zip(self.session.card.cache("past_"), self._past, strict=True))
        tokens, scores, *self._past = self.session.step(feeds)
        self._own_past = np.concatenate([self._own_past, np.ones((self.rows, 1), bool)], axis=1)
        self._position = self._position + 1
        return self._advance(tokens.numpy(), scores.numpy())

    def written(self) -> list[tuple[DecodeRequest, list[int]]]:
        """The tokens so far of every unfinished text (of its likeliest beam)."""
        return [(text.request, text.state.likeliest) for text in self._open]

    def drop(self, requests: Container[int]) -> None:
        """Forget the unfinished texts whose requests have these `id`s; the others go on as if those
        had never been there."""
        first, kept, kept_rows = 0, list[_OpenText](), list[int]()
        for text in self._open:
            if id(text.request) not in requests:
                kept.append(text)
                kept_rows += range(first, first + text.rows)
            first += text.rows
        if len(kept) < len(self._open):
            self._open = kept
            rows = np.array(kept_rows, np.int64)
            self._token = self._token[rows]
            self._reorder(rows, texts_left=True)

    def _advance(
        self, tokens: Ints, scores: Floats
    ) -> list[tuple[DecodeRequest, list[Hypothesis]]]:
        """Give every text its next tokens; returns those that are done by them."""
        done: list[tuple[DecodeRequest, list[Hypothesis]]] = []
        parent_rows, next_tokens = list[int](), list[int]()
        first, unfinished = 0, list[_OpenText]()
        for text in self._open:
            rows = slice(first, first + text.rows)
            new_beams = text.advance(tokens[rows], scores[rows])
            if new_beams is None:
                done.append((text.request, text.state.hypotheses()))
            else:
                unfinished.append(text)
                parent_rows += [first + beam for beam, _ in new_beams]
                next_tokens += [token for _, token in new_beams]
            first += text.rows
        if done or parent_rows != list(range(self.rows)):
            self._open = unfinished
            self._reorder(np.array(parent_rows, np.int64), texts_left=bool(done))
        self._token = np.array(next_tokens, np.int64)
        return done

    def _reorder(self, rows: Ints, *, texts_left: bool) -> None:
        """Keep `rows`, in this order; forget cache columns and, when `texts_left`, source columns
        that none of them uses."""
        self._own_past = self._own_past[rows]
        used = np.flatnonzero(self._own_past.any(axis=0))
        first = int(used[0]) // ALIGNED * ALIGNED if len(used) else self._own_past.shape[1]
        self._own_past = self._own_past[:, first:]
        self._past = [value(p.numpy()[rows, :, first:]) for p in self._past]
        self._position, self._stacks = self._position[rows], [self._stacks[row] for row in rows]
        if texts_left:
            self._own_source = self._own_source[rows]
            width = _aligned(int(self._own_source.sum(axis=1).max(initial=0)))
            self._own_source = self._own_source[:, :width]
            self._cross = [array[rows, :, :width] for array in self._cross]
            self._set_constant_feeds()

    def _take_banks(self, stacks: Sequence[Stack]) -> None:
        """Lay the slots of the open texts and of `stacks` side by side, unless they lie there
        already and none was written since: its slot may have been another's."""
        all_stacks = [*stacks, *(text.request.stack for text in self._open)]
        wanted = sorted({slot for stack in all_stacks for slot, _ in stack} or {0})
        changes = self.bank.changes
        if (
            self._bank_changes != changes
            or not set(wanted) <= set(self._slots)
            or len(self._slots) > 2 * len(wanted)
        ):
            self._slots, self._bank_changes = wanted, changes
            self._banks = self.bank.side_by_side(wanted)
            first = next(iter(self.bank.sites))
            self._rank = self._banks[f"{first}.B"].shape()[0] // len(wanted)

    def _mix(self, stacks: Sequence[Stack]) -> Floats:
        """float32 [rows, slots * rank]: in the columns of each row's slots their weights, elsewhere
        zero."""
        weights = np.zeros((len(stacks), len(self._slots)), np.float32)
        for i, stack in enumerate(stacks):
            for slot, weight in stack:
                weights[i, self._slots.index(slot)] += weight
        return np.repeat(weights, self._rank, axis=1)

    def _set_constant_feeds(self) -> None:
        """The step's inputs that stay the same as long as the same rows are written."""
        source = np.where(self._own_source, np.float32(0), BLOCKED)
        feeds = {"mix": value(self._mix(self._stacks)), "source": value(source)}
        cross = zip(self.session.card.cache(""), map(value, self._cross), strict=True)
        self._constant_feeds = self._banks | feeds | dict(cross)


def _aligned(columns: int) -> int:
    """`columns`, rounded up to a multiple of `ALIGNED`."""
    return -(-columns // ALIGNED) * ALIGNED


def _join_padded(old: NDArray[Kind], new: NDArray[Kind]) -> NDArray[Kind]:
    """Rows of both, padded with zeros to the longer of each axis after the first."""
    shape = [max(a, b) for a, b in zip(old.shape[1:], new.shape[1:], strict=True)]
    joined = np.zeros((len(old) + len(new), *shape), new.dtype)
    for start, part in ((0, old), (len(old), new)):
        rows, columns = slice(start, start + len(part)), (slice(0, n) for n in part.shape[1:])
        joined[(rows, *columns)] = part
    return joined
