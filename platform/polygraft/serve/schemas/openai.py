"""OpenAI's `/v1/embeddings` and `/v1/models`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from polygraft.serve.schemas.fields import Name, Strict


class EmbeddingsRequest(Strict):
    """As OpenAI's; `input` is text, not token numbers."""

    model: Name = Field(description="an adapter that gives vectors")
    input: Any = Field(description="a text, or a list of texts")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, description="one of the lengths the adapter gives")
    user: str | None = Field(None, description="is not used")


class EmbeddingOut(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    object: Literal["list"] = "list"
    data: list[EmbeddingOut]
    model: str
    usage: Usage


class ModelOut(BaseModel):
    """An adapter; `root` is the backbone, `parent` what it was trained from."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "polygraft"
    root: str
    parent: str | None = None


class ModelsResponse(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelOut]
