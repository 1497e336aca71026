"""What one seed of a recipe comes to."""

from __future__ import annotations

from dataclasses import dataclass, field

from polygraft.tasks.classification.model import Classifier


@dataclass(frozen=True)
class Run:
    """A trained classifier, its dev macro-F1 and its answers to the held-out rows: on top of what
    it was trained on, and with that exchanged. `source_weight` is the mean of the source rows'
    weights, None where there are none."""

    seed: int
    classifier: Classifier
    dev_score: float
    predicted: list[str]
    epochs: float
    exchanged: list[str] = field(default_factory=list)
    source_weight: float | None = None
