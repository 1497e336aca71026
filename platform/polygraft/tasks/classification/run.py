"""What training a classifier with one seed gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from polygraft.tasks.classification.model import Classifier


@dataclass(frozen=True)
class ClassificationRun:
    """A trained classifier, its dev macro-F1 and its answers to the held-out rows: `predicted` on
    the stack it was trained on, `predicted_swapped` on the recipe's `exchange` in that stack's
    place. `source_weight` is the mean of the source rows' weights, None where there are none."""

    seed: int
    classifier: Classifier
    dev_score: float
    predicted: list[str]
    epochs: float
    predicted_swapped: list[str] = field(default_factory=list)
    source_weight: float | None = None
