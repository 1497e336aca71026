"""Pairs -> the tensors of every step, drawn once from the seed: a run that is killed goes on with
the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from polygraft.architectures.target_tokenizer import END_ID, PAD_ID, TargetTokenizer
from polygraft.architectures.text import Encoded, TextEncoder, pad
from polygraft.tasks.translation.data import Pair
from polygraft.tasks.translation.recipe import TranslationTraining
from polygraft.training.batches import cut
from polygraft.training.softmax import IGNORED

Tensors = dict[str, torch.Tensor]
POOL = 4096


@dataclass(frozen=True)
class Row:
    """A pair as the model reads and writes it: the target starts with its language's tag."""

    read: Encoded
    written: list[int]
    weight: float

    def __len__(self) -> int:
        return len(self.read) + len(self.written) + 1


class Batches(Dataset[Tensors]):
    """`batches[i]` is the i-th step's."""

    def __init__(
        self, rows: Sequence[Row], groups: Sequence[NDArray[np.int64]], pad_id: int
    ) -> None:
        self.rows, self.groups, self.pad_id = rows, groups, pad_id

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, step: int) -> Tensors:
        rows = [self.rows[i] for i in self.groups[step]]
        batch = {
            name: torch.from_numpy(array)
            for name, array in pad([r.read for r in rows], self.pad_id).items()
        }
        longest = max(len(r.written) for r in rows)
        given, labels = (
            torch.full((len(rows), longest), PAD_ID),
            torch.full((len(rows), longest), IGNORED),
        )
        for i, row in enumerate(rows):
            given[i, : len(row.written)] = torch.tensor(row.written)
            labels[i, : len(row.written)] = torch.tensor([*row.written[1:], END_ID])
        return batch | {"given": given, "labels": labels}


def encode(
    pairs: Sequence[Pair], encoder: TextEncoder, pieces: TargetTokenizer, max_length: int
) -> list[Row]:
    """Rows of the pairs that fit."""
    read = encoder.encode([p.source for p in pairs])
    written = pieces.encode([p.target for p in pairs])
    return [
        Row(r, [pieces.start(p.languages[1]), *w], p.weight)
        for p, r, w in zip(pairs, read, written, strict=True)
        if len(r) <= max_length and len(w) < max_length
    ]


def training_batches(
    rows: Sequence[Row], options: TranslationTraining, seed: int, pad_id: int
) -> Batches:
    """`options.steps` batches of rows of like length, rows drawn by weight, without replacement
    until all were drawn."""
    rng, lengths = np.random.default_rng(seed), np.array([len(r) for r in rows], np.int64)
    weights = np.array([r.weight for r in rows])
    groups: list[NDArray[np.int64]] = []
    while len(groups) < options.steps:
        copies = np.floor(weights / weights.max() + rng.random(len(rows))).astype(int)
        drawn = rng.permutation(np.repeat(np.arange(len(rows)), copies))
        for start in range(
            0, len(drawn), POOL
        ):  # sorted within a pool only, so that batches are never twice the same
            pool = drawn[start : start + POOL]
            made = cut(pool[np.argsort(lengths[pool], kind="stable")], lengths, options.tokens)
            groups += [made[i] for i in rng.permutation(len(made))]
    return Batches(rows, groups[: options.steps], pad_id)


def scoring_batches(rows: Sequence[Row], tokens: int, pad_id: int) -> Batches:
    """Every row once."""
    lengths = np.array([len(r) for r in rows], np.int64)
    return Batches(rows, cut(np.argsort(lengths, kind="stable"), lengths, tokens), pad_id)
