"""Pairs -> the tensors of every step, drawn once from the seed: a run that is killed goes on with
the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import Encoded, TextEncoder
from polygraft.tasks.translation.data import Pair
from polygraft.tasks.translation.recipe import TranslationTraining
from polygraft.training.batches import cut, tensors
from polygraft.training.softmax import IGNORED

Tensors = dict[str, torch.Tensor]
POOL = 4096


@dataclass(frozen=True)
class EncodedPair:
    """A source as the encoder reads it and its target as the decoder writes it: what it is started
    with, then its own pieces. `weight` says how often it is drawn."""

    source: Encoded
    start: list[int]
    target: list[int]
    weight: float

    def __len__(self) -> int:
        """Tokens read and written, start and end of the target included."""
        return len(self.source) + len(self.start) + len(self.target) + 1


class Batches(Dataset[Tensors]):
    """The batch of each step: `batches[i]` has the rows `groups[i]`."""

    def __init__(
        self,
        rows: Sequence[EncodedPair],
        groups: Sequence[NDArray[np.int64]],
        encoder: TextEncoder,
        tokenizer: TargetTokenizer,
    ) -> None:
        self.rows, self.groups, self.encoder, self.tokenizer = rows, groups, encoder, tokenizer

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, step: int) -> Tensors:
        rows = [self.rows[i] for i in self.groups[step]]
        batch = tensors(self.encoder.pad([row.source for row in rows]))
        shape = (len(rows), max(len(row.start) + len(row.target) for row in rows))
        pad, end = self.tokenizer.pad, self.tokenizer.end
        decoder_input_ids, labels = torch.full(shape, pad), torch.full(shape, IGNORED)
        for i, row in enumerate(rows):
            given = len(row.start) + len(row.target)
            decoder_input_ids[i, :given] = torch.tensor([*row.start, *row.target])
            labels[i, len(row.start) - 1 : given] = torch.tensor([*row.target, end])
        return batch | {"decoder_input_ids": decoder_input_ids, "labels": labels}


def encode(
    pairs: Sequence[Pair], encoder: TextEncoder, tokenizer: TargetTokenizer, max_length: int
) -> list[EncodedPair]:
    """Encode the pairs; those with a side of more than `max_length` tokens are left out."""
    sources = encoder.encode_sources(
        [pair.source for pair in pairs], [pair.languages for pair in pairs]
    )
    targets = tokenizer.encode([pair.target for pair in pairs])
    rows = []
    for pair, source, target in zip(pairs, sources, targets, strict=True):
        if len(source) <= max_length and len(target) < max_length:
            start = tokenizer.start(pair.languages[1])
            rows.append(EncodedPair(source, start, target, pair.weight))
    return rows


def training_batches(
    rows: Sequence[EncodedPair],
    options: TranslationTraining,
    seed: int,
    encoder: TextEncoder,
    tokenizer: TargetTokenizer,
) -> Batches:
    """`options.steps` batches of rows of like length, rows drawn by weight, without replacement
    until all were drawn."""
    rng = np.random.default_rng(seed)
    lengths = np.array([len(row) for row in rows], np.int64)
    weights = np.array([row.weight for row in rows])
    groups: list[NDArray[np.int64]] = []
    while len(groups) < options.steps:
        copies = np.floor(weights / weights.max() + rng.random(len(rows))).astype(int)
        drawn = rng.permutation(np.repeat(np.arange(len(rows)), copies))
        # Sorted by length within a pool only, so that the same batch never comes twice.
        for start in range(0, len(drawn), POOL):
            pool = drawn[start : start + POOL]
            by_length = pool[np.argsort(lengths[pool], kind="stable")]
            batches = cut(by_length, lengths, options.tokens)
            groups += [batches[i] for i in rng.permutation(len(batches))]
    return Batches(rows, groups[: options.steps], encoder, tokenizer)


def scoring_batches(
    rows: Sequence[EncodedPair], tokens: int, encoder: TextEncoder, tokenizer: TargetTokenizer
) -> Batches:
    """Batches of rows of like length that have every row once."""
    lengths = np.array([len(row) for row in rows], np.int64)
    groups = cut(np.argsort(lengths, kind="stable"), lengths, tokens)
    return Batches(rows, groups, encoder, tokenizer)
