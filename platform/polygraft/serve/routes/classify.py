"""`POST /v1/classify`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter

from polygraft.errors import InvalidOption, PolygraftError
from polygraft.runtime.rows import Row
from polygraft.serve.answers import answer, raise_if_whole, results
from polygraft.serve.host import Host
from polygraft.serve.limits import check_count
from polygraft.serve.rows import read_rows
from polygraft.serve.schemas.classify import ClassifyRequest
from polygraft.serve.schemas.row import ClassifyResponse
from polygraft.tasks.translation.manifest import TranslationManifest


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post("/v1/classify", response_model_exclude_none=True)
    async def classify(request: ClassifyRequest) -> ClassifyResponse:
        """Classify texts with one adapter, or rows with an adapter each, in the order given."""
        manifests = host().manifests()
        translators = {m.name for m in manifests if isinstance(m, TranslationManifest)}
        rows = [
            _without_translators(row, translators)
            for row in read_rows(request, partial(check_count, host().settings))
        ]
        answers = await answer(host(), rows, request.top_k)
        if request.rows is None:
            raise_if_whole(answers, one_text=request.texts is None)
        return ClassifyResponse(results=results(rows, answers))

    return routes


def _without_translators(row: Row | PolygraftError, translators: set[str]) -> Row | PolygraftError:
    """The row, or the error of one that is for a translator."""
    if isinstance(row, Row) and row.adapter in translators:
        return InvalidOption(
            f"adapter {row.adapter!r} translates; send the text to /v1/translate, or the row to "
            "/v1/batch"
        )
    return row
