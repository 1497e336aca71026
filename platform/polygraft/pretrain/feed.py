"""A batch's sentences as padded arrays, gathered from the packed text in one go: row by row a batch
of a thousand would keep a GPU waiting."""

from __future__ import annotations

import numpy as np

from polygraft.pretrain.decoder_vocabulary import END_ID, PAD_ID
from polygraft.pretrain.pack import Ints, Packed
from polygraft.training.softmax import IGNORED


def read_rows(packed: Packed, sentences: Ints) -> dict[str, Ints]:
    """What the encoder reads of `sentences` [rows]: `input_ids`, `attention_mask` and
    `token_type_ids`, int64 [rows, longest]."""
    lengths = packed.source_lengths[sentences]
    at = np.arange(lengths.max(initial=1))
    inside = at < lengths[:, None]
    places = np.where(inside, packed.source_at[sentences][:, None] + at, 0)
    return {
        "input_ids": np.where(inside, packed.source[places], 0).astype(np.int64),
        "attention_mask": inside.astype(np.int64),
        "token_type_ids": np.where(inside, packed.cases[places], 0).astype(np.int64),
    }


def written_rows(packed: Packed, sentences: Ints, tags: Ints, domains: Ints) -> tuple[Ints, Ints]:
    """Decoder inputs (tag, domain's tag, pieces) and labels (pieces, end) of `sentences` [rows],
    int64 [rows, longest]. `domains` [rows] is -1 where there is no domain's tag."""
    starts = 1 + (domains >= 0)
    lengths = packed.target_lengths[sentences]
    at = np.arange((starts + lengths).max(initial=1))
    ids = _pieces(packed, sentences, at - starts[:, None], PAD_ID)
    ids[:, 0] = tags
    second = np.flatnonzero(domains >= 0)
    ids[second, 1] = domains[second]
    following = at - (starts - 1)[:, None]
    labels = _pieces(packed, sentences, following, IGNORED)
    labels[following == lengths[:, None]] = END_ID
    return ids, labels


def _pieces(packed: Packed, sentences: Ints, places: Ints, fill: int) -> Ints:
    """The pieces of `sentences` [rows] at `places` [rows, longest], counted from each one's first;
    `fill` outside it."""
    inside = (places >= 0) & (places < packed.target_lengths[sentences][:, None])
    flat = np.where(inside, packed.target_at[sentences][:, None] + places, 0)
    return np.where(inside, packed.target[flat].astype(np.int64), fill)
