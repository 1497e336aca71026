"""`POST /v1/stream`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response

from polygraft.serve.host import Host
from polygraft.serve.row_stream import MEDIA_TYPE, RowStream

PATH = "/v1/stream"
_LINES = {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post(
        PATH,
        response_class=Response,
        responses={200: _LINES},
        openapi_extra={"requestBody": _LINES | {"required": True}},
    )
    async def stream(
        top_k: Annotated[int | None, Query(ge=1, description="labels of each row at most")] = None,
    ) -> RowStream:
        """Rows of any task, as many as you like, one line of JSON each: each is answered with one
        line, in order, as in `/v1/batch`, with its number as `row`, while the others are sent."""
        host().engine.admission.check(1)
        return RowStream(host(), top_k)

    return routes
