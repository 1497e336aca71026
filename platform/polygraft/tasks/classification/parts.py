"""The two parts of a classifier's answer and how they are joined. numpy only.

The neural part is the head on the backbone's pooled vector, the lexical part a linear model on the
text's own words (see `lexical`). What is answered is the softmax of their weighted sum, a product
of experts (Hinton 2002): both weights are found on rows that neither part was trained on, so they
say how far each is to be trusted, and calibrate the scores at the same time (Platt 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polygraft.tasks.serving import Floats


@dataclass(frozen=True)
class Join:
    """The weight of each part's logits."""

    neural: float = 1.0
    lexical: float = 0.0

    def joined(self, neural: Floats, lexical: Floats | None) -> Floats:
        """The logits of both together; [..., labels] each. None: no lexical part."""
        scaled: Floats = np.float32(self.neural) * neural
        if lexical is None:
            return scaled
        both: Floats = scaled + np.float32(self.lexical) * lexical
        return both


NEURAL_ALONE = Join()


@dataclass(frozen=True)
class Parts:
    """Logits [rows, labels] of both parts for some rows; `lexical` is None where there is no such
    part."""

    neural: Floats
    lexical: Floats | None = None

    def joined(self, join: Join) -> Floats:
        return join.joined(self.neural, self.lexical)


def softmax(logits: Floats) -> Floats:
    """Over the last axis; probabilities that sum to 1."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    out: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return out
