"""What one seed of a recipe comes to."""

from __future__ import annotations

from dataclasses import dataclass

from polygraft.training.model import Classifier


@dataclass(frozen=True)
class Run:
    """A trained classifier, its dev macro-F1 and its answers to the held-out rows."""

    seed: int
    classifier: Classifier
    dev_score: float
    predicted: list[str]
    epochs: float
