"""Texts -> the tensors of every step, noise included, drawn once from the seed: a run that is
killed goes on with the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import TextEncoder
from polygraft.errors import BackboneError
from polygraft.tasks.translation.batches import Batches, EncodedPair, Tensors
from polygraft.training.batches import cut, tensors
from polygraft.training.noise import cut_spans, mask_tokens


class NoisyBatches(Dataset[Tensors]):
    """The batch of each step: `batches[i]` has the rows `groups[i]` with noise. With `writes` spans
    are cut out and the whole text, as `tokenizer` has it, is the label; else tokens are masked and
    are the labels."""

    def __init__(
        self,
        rows: Sequence[EncodedPair],
        groups: Sequence[NDArray[np.int64]],
        encoder: TextEncoder,
        tokenizer: TargetTokenizer | None,
        *,
        writes: bool,
        seed: int,
    ) -> None:
        self.rows, self.groups, self.encoder, self.tokenizer = rows, groups, encoder, tokenizer
        self.writes, self.seed = writes, seed
        self.mask = _id_of(encoder, "[MASK]", "<mask>", "<extra_id_0>")
        self.closing = _id_of(encoder, "[SEP]", "</s>")

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, step: int) -> Tensors:
        rng = np.random.default_rng([self.seed, step])
        rows = [self.rows[i] for i in self.groups[step]]
        if self.writes:
            assert self.tokenizer
            noisy = [
                replace(row, source=cut_spans(row.source, self.mask, self.closing, rng))
                for row in rows
            ]
            return Batches(noisy, [np.arange(len(noisy))], self.encoder, self.tokenizer)[0]
        padded = self.encoder.pad([row.source for row in rows])
        batch, labels = mask_tokens(padded, self.mask, self.closing, rng)
        batch["labels"] = labels
        return tensors(batch)


def _id_of(encoder: TextEncoder, *names: str) -> int:
    """The id of the first of these tokens that the backbone has."""
    for name in names:
        token_id: int | None = encoder.tokenizer.token_to_id(name)
        if token_id is not None:
            return token_id
    raise BackboneError(
        f"the backbone's vocabulary has no token {' or '.join(names)}, so there is nothing to "
        "train it on"
    )


def rows_of(
    texts: Sequence[str],
    encoder: TextEncoder,
    tokenizer: TargetTokenizer | None,
    language: str,
    max_length: int,
) -> list[EncodedPair]:
    """The texts in `language` that are neither too short nor too long, each with itself as its
    target; with none where there is no `tokenizer`, as the backbone cannot write it."""
    start, targets, sources = list[int](), [list[int]() for _ in texts], encoder.encode(texts)
    if tokenizer:
        start, targets = tokenizer.start(language), tokenizer.encode(texts)
        sources = encoder.encode_sources(texts, [(language, language)] * len(texts))
    return [
        EncodedPair(source, start, target, 1.0)
        for source, target in zip(sources, targets, strict=True)
        if 4 < len(source) <= max_length and len(target) < max_length
    ]


def training_groups(
    rows: Sequence[EncodedPair], steps: int, tokens: int, seed: int
) -> list[NDArray[np.int64]]:
    """`steps` groups of rows of like length, each of about `tokens` tokens; every row once before
    any is drawn again."""
    rng = np.random.default_rng(seed)
    lengths = _lengths(rows)
    groups: list[NDArray[np.int64]] = []
    while len(groups) < steps:
        order = np.argsort(lengths + rng.random(len(rows)), kind="stable")
        batches = cut(order, lengths, tokens)
        groups += [batches[i] for i in rng.permutation(len(batches))]
    return groups[:steps]


def scoring_groups(rows: Sequence[EncodedPair], tokens: int) -> list[NDArray[np.int64]]:
    """Groups of rows of like length that have every row once."""
    lengths = _lengths(rows)
    return cut(np.argsort(lengths, kind="stable"), lengths, tokens)


def _lengths(rows: Sequence[EncodedPair]) -> NDArray[np.int64]:
    return np.array([len(row.source) for row in rows], np.int64)
