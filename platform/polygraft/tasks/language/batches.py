"""Texts -> the tensors of every step, noise included, drawn once from the seed: a run that is
killed goes on with the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import TextEncoder
from polygraft.errors import BackboneError
from polygraft.tasks.translation.batches import Batches, Row, Tensors
from polygraft.training.batches import cut
from polygraft.training.noise import cut_spans, mask_tokens


class Noisy(Dataset[Tensors]):
    """`noisy[i]` is the i-th step's batch of `groups[i]`; with `writes`, tokens are cut out and the
    whole text is the label, else some are masked and they are the labels."""

    def __init__(
        self,
        rows: Sequence[Row],
        groups: Sequence[NDArray[np.int64]],
        encoder: TextEncoder,
        *,
        writes: bool,
        seed: int,
    ) -> None:
        self.rows, self.groups, self.encoder, self.writes, self.seed = (
            rows,
            groups,
            encoder,
            writes,
            seed,
        )
        self.mask, self.closing = (
            _id_of(encoder, "[MASK]", "<mask>"),
            _id_of(encoder, "[SEP]", "</s>"),
        )

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, step: int) -> Tensors:
        rng, rows = (
            np.random.default_rng([self.seed, step]),
            [self.rows[i] for i in self.groups[step]],
        )
        if self.writes:
            noisy = [
                Row(cut_spans(r.read, self.mask, self.closing, rng), r.written, 1.0) for r in rows
            ]
            return Batches(noisy, [np.arange(len(noisy))], self.encoder.pad_id)[0]
        masked, labels = mask_tokens(
            self.encoder.pad([r.read for r in rows]), self.mask, self.closing, rng
        )
        return {
            name: torch.from_numpy(array) for name, array in (masked | {"labels": labels}).items()
        }


def _id_of(encoder: TextEncoder, *names: str) -> int:
    """The id of the first of these tokens that the backbone has."""
    ids = (encoder.tokenizer.token_to_id(name) for name in names)
    found = next((i for i in ids if i is not None), None)
    if found is None:
        raise BackboneError(
            f"the backbone's vocabulary has no token {' or '.join(names)}, so there is nothing to "
            "train it on"
        )
    return found


def rows_of(
    texts: Sequence[str],
    encoder: TextEncoder,
    pieces: TargetTokenizer | None,
    start: int | None,
    max_length: int,
) -> list[Row]:
    """Texts that fit; what is written starts with the language's tag and is empty where nothing can
    be."""
    written = pieces.encode(texts) if pieces and start is not None else [[] for _ in texts]
    return [
        Row(read, [start or 0, *out], 1.0)
        for read, out in zip(encoder.encode(texts), written, strict=True)
        if 4 < len(read) <= max_length and len(out) < max_length
    ]


def training_groups(
    rows: Sequence[Row], steps: int, tokens: int, seed: int
) -> list[NDArray[np.int64]]:
    """`steps` groups of rows of like length, each of about `tokens` tokens; every row once before
    any is drawn again."""
    rng, lengths, groups = np.random.default_rng(seed), _lengths(rows), list[NDArray[np.int64]]()
    while len(groups) < steps:
        order = np.argsort(lengths + rng.random(len(rows)), kind="stable")
        made = cut(order, lengths, tokens)
        groups += [made[i] for i in rng.permutation(len(made))]
    return groups[:steps]


def scoring_groups(rows: Sequence[Row], tokens: int) -> list[NDArray[np.int64]]:
    """Every row once."""
    return cut(np.argsort(_lengths(rows), kind="stable"), _lengths(rows), tokens)


def _lengths(rows: Sequence[Row]) -> NDArray[np.int64]:
    return np.array([len(row.read) for row in rows], np.int64)
