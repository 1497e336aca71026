"""`POST /v1/batch`."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from polygraft.serve.schemas.fields import Strict
from polygraft.serve.schemas.row import UncheckedRow


class BatchRequest(Strict):
    """Rows of any task, each with its own adapter."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "rows": [
                        {"adapter": "spam-en", "text": "WIN a FREE phone now! Text WIN to 80182"},
                        {
                            "adapter": "en-yo",
                            "text": "The market opens at nine.",
                            "target": "yo",
                            "beam": 4,
                        },
                    ]
                }
            ]
        }
    )
    rows: list[UncheckedRow]
    top_k: int | None = Field(
        None,
        ge=1,
        description=(
            "labels a classified row at most; left out: all, of all rows together up to 50,000"
        ),
    )
