"""`POST /v1/classify`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter

from polygraft.serve.answers import answer, raise_if_whole, results
from polygraft.serve.host import Host
from polygraft.serve.limits import check_count
from polygraft.serve.own_routes import CLASSIFY, belonging
from polygraft.serve.rows import read_rows
from polygraft.serve.schemas.classify import ClassifyRequest
from polygraft.serve.schemas.row import ClassifyResponse


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post(CLASSIFY, response_model_exclude_none=True)
    async def classify(request: ClassifyRequest) -> ClassifyResponse:
        """Classify texts with one adapter, or rows with an adapter each, in the order given."""
        read = read_rows(request, partial(check_count, host().settings))
        rows = belonging(read, CLASSIFY, host().manifests())
        answers = await answer(host(), rows, request.top_k)
        if request.rows is None:
            raise_if_whole(answers, one_text=request.texts is None)
        return ClassifyResponse(results=results(rows, answers))

    return routes
