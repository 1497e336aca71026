"""RoBERTa and what has its positions: XLM-R, AfroXLMR, Glot500, e5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polygraft.architectures.family import Family


class Roberta(Family):
    """Counts positions from the padding's id on, so the first few of the table are never read."""

    def max_length(self, config: Mapping[str, Any]) -> int:
        """514 positions are 512 tokens in XLM-R."""
        return super().max_length(config) - int(config.get("pad_token_id", 1)) - 1


FAMILY = Roberta()
