"""States of rows' words by a backbone, in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from polygraft.architectures.text import TextEncoder
from polygraft.tasks.serving import Floats
from polygraft.tasks.tagging.rows import TaggedRow
from polygraft.tasks.tagging.windows import states_of_words, windows_of
from polygraft.training.batches import cut, tensors
from polygraft.training.phases import phase
from polygraft.training.speed import bf16_is_faster
from polygraft.training.vectors import MANY_TOKENS

TOKENS = 4096  # of a batch


@torch.no_grad()
def states_of(
    backbone: PreTrainedModel, encoder: TextEncoder, rows: Sequence[TaggedRow], longest: int
) -> list[Floats]:
    """The states [words, hidden] of each row's words; of long rows in windows of `longest`
    tokens."""
    encoded = encoder.encode_words([row.words for row in rows])
    windows = [windows_of(encoder, words, longest) for words in encoded]
    flat = [window.encoded for of_row in windows for window in of_row]
    lengths = np.array([len(one) for one in flat], np.int64)
    states = list[Floats]([np.zeros((0, backbone.config.hidden_size), np.float32)] * len(flat))

    def read(places: Sequence[int]) -> None:
        batch = encoder.pad([flat[place] for place in places])
        found = backbone(**tensors(batch)).last_hidden_state.float().numpy()
        for place, of_window in zip(places, found, strict=True):
            states[place] = of_window[: len(flat[place])].astype(np.float16)

    order = np.argsort(lengths, kind="stable")
    bf16 = int(lengths.sum()) > MANY_TOKENS and bf16_is_faster(lambda: read(range(16)))
    with (
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
        phase("reading", len(flat)) as advance,
    ):
        for places in cut(order, lengths, TOKENS):
            read(places.tolist())
            advance(len(places))
    every = iter(states)
    return [
        states_of_words(of_row, [next(every) for _ in of_row], len(row.words))
        if of_row
        else np.zeros((len(row.words), backbone.config.hidden_size), np.float32)
        for row, of_row in zip(rows, windows, strict=True)
    ]
