"""`POST /v1/classify`."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from polygraft.serve.schemas.fields import Name, Stack, Strict, UncheckedText
from polygraft.serve.schemas.row import EXPLAIN, KEY, THRESHOLD, UncheckedRow


class ClassifyRequest(Strict):
    """`adapter` or `stack` with `text` or `texts`; or `rows`, each row with its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "adapter": "spam-en",
                    "text": "WIN a FREE phone now! Text WIN to 80182",
                    "top_k": 1,
                },
                {
                    "rows": [
                        {"adapter": "spam-en", "text": "See you at 5"},
                        {"adapter": "spam-sw", "text": "Nitume pesa?"},
                    ]
                },
            ]
        }
    )
    adapter: Name | None = None
    stack: Stack | None = Field(None, description="in place of adapter, as in a row")
    text: UncheckedText | None = Field(None, description="one text")
    texts: list[UncheckedText] | None = Field(None, description="several texts")
    language: Name | None = None
    head: Name | None = Field(None, description="the task, for an adapter with several heads")
    truncate: bool = False
    threshold: float | None = Field(None, ge=0, le=1, description=THRESHOLD)
    explain: bool = Field(False, description=EXPLAIN)
    key: Name | None = Field(None, description=KEY)
    rows: list[UncheckedRow] | None = None
    top_k: int | None = Field(
        None, ge=1, description="labels a row at most; left out: all, up to 50,000 of all rows"
    )
