"""What training a tagger with one seed gives."""

from __future__ import annotations

from dataclasses import dataclass

import peft

from polygraft.tasks.tagging.head import Head


@dataclass(frozen=True)
class TaggingRun:
    """A trained tagger, its score on dev (see `metrics`), and the tags of the held-out rows'
    tokens."""

    seed: int
    adapted: peft.PeftModel
    head: Head
    dev_score: float
    epochs: float
    predicted: list[list[str]]
