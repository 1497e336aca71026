"""A text's words as windows of tokens: the same in training and when it is served.

A text that is longer than a window is read in several that overlap, cut between words. Each word's
state is that of its first token, from the window in which it stands furthest from where the text
was cut. Of a word that is longer than a window its first tokens are read. Without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polygraft.architectures.text import Encoded, EncodedWords, TextEncoder
from polygraft.tasks.serving import Floats

OVERLAP = 4
"""A part of this many of a window's tokens stands in the window before too."""
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """Tokens to be read at once, and the words whose states are taken from it: `words` are their
    places in the text, `tokens` those of their first tokens in the window."""

    encoded: Encoded
    words: Places
    tokens: Places


def windows_of(encoder: TextEncoder, words: EncodedWords, longest: int) -> list[Window]:
    """The windows of at most `longest` tokens, special ones included, that a text takes; none of a
    text of which the tokenizer keeps nothing. A word without a token is in none of them."""
    opening, closing = encoder.special_tokens
    room = min(longest, encoder.max_length) - opening - closing
    places, first = np.unique(np.array(words.words, np.int64), return_index=True)
    runs = _runs(np.append(first, len(words.ids)), room)
    owners = _owners(first, runs, len(words.ids))
    windows = list[Window]()
    for number, (start, end) in enumerate(runs):
        own = owners == number
        encoded = encoder.enclosed(words.ids[start:end], words.cases[start:end])
        windows.append(Window(encoded, places[own], first[own] - start + opening))
    return windows


def states_of_words(windows: Sequence[Window], states: Sequence[Floats], words: int) -> Floats:
    """The states [words, hidden] of a text's words, of the token states [seq, hidden] of each of
    its windows; zeros for a word without a token."""
    hidden = states[0].shape[1]
    taken = np.zeros((words, hidden), np.float32)
    for window, of_tokens in zip(windows, states, strict=True):
        taken[window.words] = of_tokens[window.tokens]
    return taken


def _runs(edges: Places, room: int) -> list[tuple[int, int]]:
    """From which token to which each window goes. `edges` are where words begin, and the end."""
    runs, end = list[tuple[int, int]](), int(edges[-1])
    start = 0
    while start < end:
        if end - start <= room:
            runs.append((start, end))
            break
        cut = int(edges[np.searchsorted(edges, start + room, side="right") - 1])
        runs.append((start, cut if cut > start else start + room))  # a word longer than a window
        if cut <= start:
            start = int(edges[np.searchsorted(edges, start, side="right")])
        else:
            again = int(edges[np.searchsorted(edges, cut - room // OVERLAP)])
            start = again if again > start else cut
    return runs


def _owners(first: Places, runs: Sequence[tuple[int, int]], end: int) -> Places:
    """For each word, by its first token, the window in which it has most on its shorter side; the
    ends of the text cut nothing."""
    best, owners = np.full(len(first), -1), np.zeros(len(first), np.int64)
    for number, (start, stop) in enumerate(runs):
        before = first - start if start else np.full(len(first), end)
        behind = stop - first if stop < end else np.full(len(first), end)
        margin = np.minimum(before, behind)
        better = (first >= start) & (first < stop) & (margin > best)
        best[better], owners[better] = margin[better], number
    return owners
