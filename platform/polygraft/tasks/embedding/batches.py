"""Pairs -> the tensors of every step, drawn once from the seed: a run that is killed goes on with
the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from polygraft.architectures.text import Encoded, TextEncoder
from polygraft.tasks.embedding.recipe import EmbeddingTraining
from polygraft.tasks.serving import Floats
from polygraft.tasks.translation.data import Pair
from polygraft.training.batches import tensors

BLOCK = 8_192  # pairs among which neighbours are looked for
KEPT = 4  # of so many first sides, one is learnt to stay where it is
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs as the encoder reads them; `anchors`: the bare backbone's unit vectors of the first
    sides, float32 [pairs, hidden]. `texts` [pairs, 2] has a number for each different text."""

    sources: list[Encoded]
    targets: list[Encoded]
    anchors: Floats
    texts: NDArray[np.int64]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sources)


def numbered(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    """A number for each different text, [pairs, 2]."""
    numbers: dict[str, int] = {}
    return np.array(
        [[numbers.setdefault(t, len(numbers)) for t in (p.source, p.target)] for p in pairs],
        np.int64,
    ).reshape(len(pairs), 2)


class PairBatches(Dataset[Tensors]):
    """The batch of each step: `batches[i]` has the pairs `groups[i]`."""

    def __init__(
        self,
        pairs: EncodedPairs,
        groups: Sequence[NDArray[np.int64]],
        encoder: TextEncoder,
        *,
        anchored: bool,
    ) -> None:
        self.pairs, self.groups, self.encoder, self.anchored = pairs, groups, encoder, anchored

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, step: int) -> Tensors:
        """What the encoder reads, second sides first; `wanted[i]`, the pair whose first side row i
        means; `texts` of the pairs; and, where the first sides are anchored, their `anchors`. Else
        the first sides are the rows after the second ones."""
        group = self.groups[step]
        sources = [self.pairs.sources[i] for i in group]
        targets = [self.pairs.targets[i] for i in group]
        wanted = np.arange(len(group))
        if self.anchored:
            kept = wanted[::KEPT]
            rows, wanted = [*targets, *(sources[i] for i in kept)], np.concatenate([wanted, kept])
        else:
            rows = [*targets, *sources]
        batch = tensors(self.encoder.pad(rows))
        batch["wanted"] = torch.from_numpy(wanted)
        batch["texts"] = torch.from_numpy(self.pairs.texts[group])
        if self.anchored:
            batch["anchors"] = torch.from_numpy(self.pairs.anchors[group])
        return batch


def training_groups(
    pairs: EncodedPairs, options: EmbeddingTraining, seed: int
) -> list[NDArray[np.int64]]:
    """The pairs of every step: drawn by weight, each before any is drawn again, with their
    neighbours beside them."""
    rng = np.random.default_rng(seed)
    shares = pairs.weights / pairs.weights.max()
    groups: list[NDArray[np.int64]] = []
    while len(groups) < options.steps:
        drawn = rng.permutation(np.flatnonzero(shares > rng.random(len(pairs))))
        for start in range(0, len(drawn), BLOCK):
            order = _beside_neighbours(drawn[start : start + BLOCK], pairs, options.neighbours)
            whole = [
                order[first : first + options.pairs]
                for first in range(0, len(order), options.pairs)
            ]
            groups += [group for group in whole if len(group) > 1]
    return groups[: options.steps]


def scoring_groups(pairs: EncodedPairs, size: int) -> list[NDArray[np.int64]]:
    """Groups of `size` pairs that have every pair once."""
    return np.array_split(np.arange(len(pairs)), max(1, len(pairs) // size))


def _beside_neighbours(
    block: NDArray[np.int64], pairs: EncodedPairs, neighbours: int
) -> NDArray[np.int64]:
    """The block in order, but after each pair its nearest ones that have not come yet."""
    if not neighbours or len(block) <= neighbours:
        return block
    anchors = pairs.anchors[block]
    order, taken = list[int](), np.zeros(len(block), bool)
    nearest = np.argpartition(-(anchors @ anchors.T), neighbours, axis=1)[:, : neighbours + 1]
    for place in range(len(block)):
        for one in (place, *nearest[place]):
            if not taken[one]:
                taken[one] = True
                order.append(int(one))
    return block[order]
