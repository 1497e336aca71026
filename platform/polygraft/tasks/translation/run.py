"""What training a translator with one seed gives."""

from __future__ import annotations

from dataclasses import dataclass

from polygraft.tasks.translation.model import Translator


@dataclass(frozen=True)
class TranslationRun:
    """A trained translator and its loss on dev, in nats a piece."""

    seed: int
    translator: Translator
    dev_loss: float
