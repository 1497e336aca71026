"""`POST /v1/embed` and `POST /v1/similarity`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from polygraft.serve.schemas.fields import Name, Stack, Strict, UncheckedText
from polygraft.serve.schemas.row import DIMENSIONS, ENCODING, KEY, EncodingName

ADAPTER = "one that gives vectors; left out: the server's own (POLYGRAFT_EMBEDDER)"
ONE_KEY = f"{KEY.partition(';')[0]}; left out, the first text"


class EmbedRequest(Strict):
    """Either `text` or `texts`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"texts": ["The market opens at nine.", "Ọjà máa ń ṣí ní aago mẹ́sàn-án."]}]
        }
    )
    adapter: Name | None = Field(None, description=ADAPTER)
    stack: Stack | None = Field(None, description="in place of adapter, as in a row")
    text: UncheckedText | None = Field(None, description="one text")
    texts: list[UncheckedText] | None = Field(None, description="several texts")
    dimensions: int | None = Field(None, ge=1, description=DIMENSIONS)
    encoding: EncodingName = Field("float", description=ENCODING)
    truncate: bool = Field(
        False, description="read the beginning of a text that is too long, instead of an error"
    )
    key: Name | None = Field(None, description=ONE_KEY)


class SimilarityRequest(Strict):
    """Each of `texts` with each of `against`, or with each other."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "texts": ["Where is the hospital?"],
                    "against": ["Hospitali iko wapi?", "The price of maize has doubled."],
                }
            ]
        }
    )
    adapter: Name | None = Field(None, description=ADAPTER)
    texts: list[UncheckedText] = Field(min_length=1)
    against: list[UncheckedText] | None = Field(
        None, min_length=1, description="left out: the same texts"
    )
    dimensions: int | None = Field(None, ge=1, description=DIMENSIONS)
    truncate: bool = False
    key: Name | None = Field(None, description=ONE_KEY)


class SimilarityResponse(BaseModel):
    """`similarity[i][j]` is the cosine of `texts[i]` and `against[j]`, within ±1."""

    adapter: str
    version: str
    similarity: list[list[float]]
