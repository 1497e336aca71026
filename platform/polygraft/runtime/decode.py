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
from polygraft.runtime.search import Hypothesis, Search, Searching

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
        found = self._cross.run_with_ort_values(
            None, {k: v for k, v in feeds.items() if k in self._cross_inputs}
        )
        return [v.numpy() for v in found]

    def step(self, feeds: dict[str, ort.OrtValue]) -> list[ort.OrtValue]:
        """tokens [rows, best], scores [rows, best], then the grown cache."""
        found: list[ort.OrtValue] = self._step.run_with_ort_values(
            None, {k: v for k, v in feeds.items() if k in self._step_inputs}
        )
        return found


@dataclass(eq=False)
class Text:
    """One text to write: encoder states float32 [seq, hidden], the decoder's slots with their
    weights, the first token (the target language's tag), how to search, and at most how many
    tokens."""

    states: Floats
    stack: Stack
    start: int
    search: Search
    most: int


@dataclass(eq=False)
class _Open:
    """A text in the batch and the search over it."""

    text: Text
    searching: Searching

    @property
    def rows(self) -> int:
        return self.text.search.beam


class DecoderBatch:
    """The texts being written. Not thread-safe: one thread owns it."""

    def __init__(self, session: DecoderSession, bank: Bank, end: int) -> None:
        self.session, self.bank, self.end = session, bank, end
        self._open: list[_Open] = []
        self._slots: list[int] = []
        self._banks: dict[str, ort.OrtValue] = {}
        self._taken, self._rank = (
            -1,
            0,
        )  # of `_banks`: the bank's count of changes then, and columns an adapter
        card = session.card
        empty = np.zeros((0, card.heads, 0, card.head_size), np.float32)
        self._past: list[ort.OrtValue] = [value(empty)] * (2 * card.layers)
        self._given: list[Floats] = [empty] * (2 * card.layers)
        self._fixed: dict[str, ort.OrtValue] = {}
        self._seen = np.zeros(
            (0, 0), bool
        )  # [rows, past]: columns of the cache that are the row's own
        self._source = np.zeros((0, 0), bool)  # [rows, seq]
        self._token, self._position = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._stacks: list[Stack] = []  # of each row

    @property
    def rows(self) -> int:
        return len(self._token)

    @property
    def may_join(self) -> bool:
        """Whether a text that is added now has its own columns of the cache where they would lie if
        it were alone."""
        return self._seen.shape[1] % ALIGNED == 0

    def add(self, texts: Sequence[Text]) -> None:
        """Take texts in; they are written from the next step on. Only when they `may_join`: else
        the last bits of their scores would depend on the others."""
        longest = _aligned(max(len(t.states) for t in texts))
        states = np.zeros((len(texts), longest, texts[0].states.shape[1]), np.float32)
        source = np.zeros((len(texts), longest), bool)
        for i, text in enumerate(texts):
            states[i, : len(text.states)] = text.states
            source[i, : len(text.states)] = True
        stacks = [t.stack for t in texts]
        self._take_banks(stacks)
        given = self.session.cross(states, self._mix(stacks), self._banks)
        rows = np.repeat(np.arange(len(texts)), [t.search.beam for t in texts])
        past = self._seen.shape[1]
        self._open += [_Open(t, Searching(t.search, self.end, t.most)) for t in texts]
        self._given = [_stack(old, new[rows]) for old, new in zip(self._given, given, strict=True)]
        self._source = _stack(self._source, source[rows])
        self._seen = np.concatenate([self._seen, np.zeros((len(rows), past), bool)])
        card = self.session.card
        fresh = np.zeros((len(rows), card.heads, past, card.head_size), np.float32)
        self._past = [value(np.concatenate([p.numpy(), fresh])) for p in self._past]
        self._token = np.concatenate(
            [self._token, [t.start for t in texts for _ in range(t.search.beam)]]
        )
        self._position = np.concatenate([self._position, np.zeros(len(rows), np.int64)])
        self._stacks += [stacks[row] for row in rows]
        self._fix()

    def step(self) -> list[tuple[Text, list[Hypothesis]]]:
        """Write one token of every text; returns those that are done, with their hypotheses, best
        first."""
        best = max(o.searching.wants for o in self._open)
        mask = np.zeros((self.rows, self._seen.shape[1] + 1), np.float32)
        mask[:, :-1][~self._seen] = BLOCKED
        feeds = self._fixed | {
            "token": value(self._token),
            "position": value(self._position),
            "mask": value(mask),
            "best": value(np.array([best], np.int64)),
        }
        feeds |= dict(zip(self.session.card.cache("past_"), self._past, strict=True))
        tokens, scores, *self._past = self.session.step(feeds)
        self._seen = np.concatenate([self._seen, np.ones((self.rows, 1), bool)], axis=1)
        self._position = self._position + 1
        return self._advance(tokens.numpy(), scores.numpy())

    def written(self) -> list[tuple[Text, list[int]]]:
        """The tokens so far of every unfinished text (of its likeliest beam)."""
        return [(o.text, o.searching.so_far) for o in self._open]

    def drop(self, texts: Container[int]) -> None:
        """Forget the unfinished texts with these `id`s; the others go on as if those had never been
        there."""
        starts = np.cumsum([0, *(o.rows for o in self._open)])
        kept = [
            (o, start)
            for o, start in zip(self._open, starts, strict=False)
            if id(o.text) not in texts
        ]
        if len(kept) < len(self._open):
            rows = np.array([start + beam for o, start in kept for beam in range(o.rows)], np.int64)
            self._open = [o for o, _ in kept]
            self._token = self._token[rows]
            self._reorder(rows, changed=True)

    def _advance(self, tokens: Ints, scores: Floats) -> list[tuple[Text, list[Hypothesis]]]:
        done: list[tuple[Text, list[Hypothesis]]] = []
        parents, chosen = list[int](), list[int]()
        first, still = 0, list[_Open]()
        for one in self._open:
            here = slice(first, first + one.rows)
            picked = one.searching.advance(tokens[here], scores[here])
            if picked is None:
                done.append((one.text, one.searching.found()))
            else:
                still.append(one)
                parents += [first + beam for beam, _ in picked]
                chosen += [token for _, token in picked]
            first += one.rows
        if done or parents != list(range(self.rows)):
            self._open = still
            self._reorder(np.array(parents, np.int64), changed=bool(done))
        self._token = np.array(chosen, np.int64)
        return done

    def _reorder(self, rows: Ints, *, changed: bool) -> None:
        """Keep `rows`, in this order; forget cache columns and source columns that none of them
        uses."""
        self._seen = self._seen[rows]
        used = np.flatnonzero(self._seen.any(axis=0))
        first = int(used[0]) // ALIGNED * ALIGNED if len(used) else self._seen.shape[1]
        self._seen = self._seen[:, first:]
        self._past = [value(p.numpy()[rows, :, first:]) for p in self._past]
        self._position, self._stacks = self._position[rows], [self._stacks[row] for row in rows]
        if changed:
            self._source = self._source[rows]
            width = _aligned(int(self._source.sum(axis=1).max(initial=0)))
            self._source = self._source[:, :width]
            self._given = [g[rows, :, :width] for g in self._given]
            self._fix()

    def _take_banks(self, stacks: Sequence[Stack]) -> None:
        """Lay the slots of the open texts and of `stacks` side by side, unless they lie there
        already and none was written since: its slot may have been another's."""
        wanted = sorted(
            {slot for stack in [*stacks, *(o.text.stack for o in self._open)] for slot, _ in stack}
            or {0}
        )
        changes = self.bank.changes
        if (
            self._taken != changes
            or not set(wanted) <= set(self._slots)
            or len(self._slots) > 2 * len(wanted)
        ):
            self._slots, self._taken = wanted, changes
            self._banks = self.bank.side_by_side(wanted)
            first = next(iter(self.bank.sites))
            self._rank = self._banks[f"{first}.B"].shape()[0] // len(wanted)

    def _mix(self, stacks: Sequence[Stack]) -> Floats:
        """float32 [rows, slots * rank]: in the columns of each row's slots their weights, elsewhere
        zero."""
        own = np.zeros((len(stacks), len(self._slots)), np.float32)
        for i, stack in enumerate(stacks):
            for slot, weight in stack:
                own[i, self._slots.index(slot)] += weight
        return np.repeat(own, self._rank, axis=1)

    def _fix(self) -> None:
        """What stays the same from step to step."""
        source = np.where(self._source, np.float32(0), BLOCKED)
        self._fixed = self._banks | {"mix": value(self._mix(self._stacks)), "source": value(source)}
        self._fixed |= {
            name: value(g) for name, g in zip(self.session.card.cache(""), self._given, strict=True)
        }


def _aligned(columns: int) -> int:
    """`columns`, rounded up."""
    return -(-columns // ALIGNED) * ALIGNED


def _stack(old: NDArray[Kind], new: NDArray[Kind]) -> NDArray[Kind]:
    """Rows of both, padded with zeros to the longer of each axis after the first."""
    shape = [max(a, b) for a, b in zip(old.shape[1:], new.shape[1:], strict=True)]
    out = np.zeros((len(old) + len(new), *shape), new.dtype)
    for start, part in ((0, old), (len(old), new)):
        out[(slice(start, start + len(part)), *(slice(0, n) for n in part.shape[1:]))] = part
    return out
