"""`POST /v1/batch`."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from polygraft.serve.answers import answer, results
from polygraft.serve.host import Host
from polygraft.serve.limits import check_count
from polygraft.serve.rows import read_each
from polygraft.serve.schemas.batch import BatchRequest
from polygraft.serve.schemas.row import ClassifyResponse


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post("/v1/batch", response_model_exclude_none=True)
    async def batch(request: BatchRequest) -> ClassifyResponse:
        """Rows of any task, each with its own adapter, answered together in the order given."""
        check_count(host().settings, len(request.rows))
        rows = read_each(request.rows)
        return ClassifyResponse(results=results(rows, await answer(host(), rows, request.top_k)))

    return routes
