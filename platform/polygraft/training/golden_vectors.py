"""The golden inputs of an adapter whose outputs are sentence vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import peft

from polygraft.architectures.text import TextEncoder
from polygraft.tasks.vectors import GoldenVector
from polygraft.training.goldens import CANDIDATES, beginnings, rounded
from polygraft.training.vectors import sentence_vectors

GOLDENS = 4


def moved_most(
    adapted: peft.PeftModel, encoder: TextEncoder, dev: Sequence[str], train: Sequence[str]
) -> list[GoldenVector]:
    """Beginnings of dev texts (of training texts too, where those are few) whose vectors the
    adapter moves most."""
    texts = beginnings(dev, train)[:CANDIDATES]
    ours = sentence_vectors(adapted, encoder, texts)
    with adapted.disable_adapter():
        bare = sentence_vectors(adapted, encoder, texts)
    furthest = np.argsort((ours * bare).sum(axis=1))[:GOLDENS]
    return [
        GoldenVector(text=texts[i], vector=rounded(ours[i]), bare=rounded(bare[i]))
        for i in furthest
    ]
