"""`POST /v1/translate`."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from polygraft.serve.schemas.fields import GlossaryIn, Name, UncheckedText
from polygraft.serve.schemas.row import GLOSSARY, KEY, SearchIn


class TranslateRequest(SearchIn):
    """Either `text` or `texts`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "The market opens at nine.", "source": "en", "target": "yo", "beam": 4}
            ]
        }
    )
    text: UncheckedText | None = Field(
        None, description="one text, of any length up to 20,000 characters"
    )
    texts: list[UncheckedText] | None = Field(None, description="several texts")
    source: Name | None = Field(
        None, description="language of the texts; left out, each is detected on its own"
    )
    target: Name = Field(description="language to write")
    adapter: Name | None = Field(None, description="left out: the one made for these languages")
    key: Name | None = Field(None, description=KEY)
    pivot: bool = Field(
        True,
        description="a direction that no adapter has goes through English; the answer says so",
    )
    allow_experimental: bool | None = Field(
        None,
        description="whether a direction of the class experimental may be chosen; left out, the "
        "server's setting",
    )
    glossary: GlossaryIn | None = Field(None, description=GLOSSARY)
    format: Literal["text", "html"] = Field("text", description="html: the markup is kept")
    stream: bool = Field(False, description="answer with server-sent events")
