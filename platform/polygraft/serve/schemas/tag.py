"""`POST /v1/tag`."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from polygraft.serve.schemas.fields import Name, Stack, Strict, UncheckedText
from polygraft.serve.schemas.row import KEY, UncheckedRow


class TagRequest(Strict):
    """`adapter` or `stack` with `text` or `texts`; or `rows`, each row with its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"adapter": "ner", "text": "Rais Samia Suluhu amewasili Nairobi leo."},
                {
                    "rows": [
                        {"adapter": "ner-sw", "text": "Timu ya Simba inacheza Dodoma."},
                        {"adapter": "pos-sd", "text": "علي ڪتاب پڙھي ٿو."},
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
    truncate: bool = False
    key: Name | None = Field(None, description=KEY)
    rows: list[UncheckedRow] | None = None
