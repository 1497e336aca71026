"""`POST /v1/tag`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter

from polygraft.serve.answers import answer, raise_if_whole, results
from polygraft.serve.host import Host
from polygraft.serve.limits import check_count
from polygraft.serve.own_routes import TAG, belonging
from polygraft.serve.rows import read_rows
from polygraft.serve.schemas.row import ClassifyResponse
from polygraft.serve.schemas.tag import TagRequest


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post(TAG, response_model_exclude_none=True)
    async def tag(request: TagRequest) -> ClassifyResponse:
        """Find the spans of texts, or the tag of each word, with one adapter, or of rows with an
        adapter each, in the order given."""
        read = read_rows(request, partial(check_count, host().settings))
        rows = belonging(read, TAG, host().manifests())
        answers = await answer(host(), rows)
        if request.rows is None:
            raise_if_whole(answers, one_text=request.texts is None)
        return ClassifyResponse(results=results(rows, answers))

    return routes
