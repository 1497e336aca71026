"""What training a classifier with one seed gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from polygraft.tasks.classification.joining import Held
from polygraft.tasks.classification.lexical import Lexical
from polygraft.tasks.classification.model import Classifier
from polygraft.tasks.classification.parts import Join, Parts


@dataclass(frozen=True)
class ClassificationRun:
    """A trained classifier: its neural part, its lexical part if it has one, and how they are
    joined; its dev macro-F1, and both parts' logits for the held-out rows. `predicted` are its
    labels for them on the stack it was trained on, `predicted_swapped` on the recipe's `exchange`
    in that stack's place. `tuning` are the rows that the join was found on, None where there were
    none. `source_weight` is the mean of the source rows' weights, None where there are none."""

    seed: int
    classifier: Classifier
    lexical: Lexical | None
    join: Join
    tuning: Held | None
    dev_score: float
    held_out: Parts
    predicted: list[str]
    epochs: float
    predicted_swapped: list[str] = field(default_factory=list)
    source_weight: float | None = None
