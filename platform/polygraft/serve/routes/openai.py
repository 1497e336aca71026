"""OpenAI's API, as far as a server without a generating model can answer it: `/v1/embeddings`,
`/v1/models`. The model is an adapter.

Token numbers as input are refused: they are another vocabulary's.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from polygraft.adapters.format import Manifest
from polygraft.errors import InvalidOption, InvalidRow
from polygraft.serve.asked import Asked, answers, manifest_of
from polygraft.serve.host import Host
from polygraft.serve.schemas.openai import (
    EmbeddingOut,
    EmbeddingsRequest,
    EmbeddingsResponse,
    ModelOut,
    ModelsResponse,
    Usage,
)


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["OpenAI"])

    @routes.post("/v1/embeddings")
    async def embeddings(request: EmbeddingsRequest) -> EmbeddingsResponse:
        """Vectors of one text or several, by the adapter that `model` names."""
        texts = _texts(request.input)
        if (task := manifest_of(host(), request.model).task) != "embedding":
            raise InvalidOption(
                f"model {request.model!r} is for {task} and gives no vectors; GET /v1/adapters "
                "lists those whose task is embedding"
            )
        options = {"dimensions": request.dimensions, "encoding": request.encoding_format}
        embedded = await answers(host(), Asked(request.model, texts, "input", options))
        encoded = await run_in_threadpool(host().engine.encoder.encode, texts)
        tokens = sum(map(len, encoded))
        return EmbeddingsResponse(
            data=[
                EmbeddingOut(index=place, embedding=one.fields()["embedding"])
                for place, one in enumerate(embedded)
            ],
            model=request.model,
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        )

    @routes.get("/v1/models", response_model_exclude_none=True)
    async def models() -> ModelsResponse:
        """The adapters that are served."""
        backbone = host().engine.card.backbone
        return ModelsResponse(data=[_model(m, backbone) for m in host().manifests()])

    @routes.get("/v1/models/{name}", response_model_exclude_none=True)
    async def model(name: str) -> ModelOut:
        """One of them."""
        return _model(manifest_of(host(), name), host().engine.card.backbone)

    return routes


def _texts(given: Any) -> list[Any]:
    """The texts of `input`. Raises `InvalidRow` for token numbers."""
    texts = given if isinstance(given, list) else [given]
    if any(isinstance(one, int | list) for one in texts):
        raise InvalidRow(
            "input holds token numbers, which are those of another vocabulary; send the text itself"
        )
    return texts


def _model(manifest: Manifest, backbone: str) -> ModelOut:
    try:
        made = datetime.datetime.fromisoformat(manifest.created).replace(tzinfo=datetime.UTC)
        created = int(made.timestamp())
    except ValueError:
        created = 0
    return ModelOut(id=manifest.name, created=created, root=backbone, parent=manifest.parent)
