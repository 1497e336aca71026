"""The HTTP endpoints under /v1, as a FastAPI app that BentoML mounts.

BentoML's own `@bentoml.api` answers POST only and fails a whole request on one bad field; these
endpoints need GET and DELETE, errors in their row's place, and stable error bodies: `{"error":
{"code", "message"}}`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBearer

from polygraft import __version__
from polygraft.adapters.format import Manifest
from polygraft.adapters.library import MAX_UPLOAD
from polygraft.errors import InvalidRow, PolygraftError, UnknownAdapter
from polygraft.runtime.rows import Row
from polygraft.serve import auth, libretranslate, pages, translate
from polygraft.serve.answers import answer, check_count, results
from polygraft.serve.body_limit import BodyLimit
from polygraft.serve.disconnect import CancelOnDisconnect
from polygraft.serve.door import Door
from polygraft.serve.failures import LastResort, SafeJSONResponse, tell_errors
from polygraft.serve.host import Host
from polygraft.serve.metrics import RequestMetrics
from polygraft.serve.schemas import (
    AdapterOut,
    AdaptersResponse,
    BatchRequest,
    ClassifyRequest,
    ClassifyResponse,
    ErrorBody,
    ErrorResponse,
    Refused,
    read_row,
    read_rows,
)
from polygraft.tasks.translation.manifest import TranslationManifest

# For the document, so that /docs has a place for the key; `auth.authorise` is what lets a request
# in.
ADMIN = [
    Depends(HTTPBearer(auto_error=False, description="the admin key: `polygraft key` prints it"))
]
FAILURES = {
    status: {"model": ErrorResponse}
    for status in (400, 403, 404, 408, 409, 413, 422, 500, 503, 504, 507)
}


def create_app(host: Callable[[], Host]) -> FastAPI:
    """The app; `host()` is asked at each request, since BentoML makes the service after the app."""
    app = FastAPI(
        title="polygraft",
        version=__version__,
        summary="One backbone, many adapters: mixed tasks and languages in one batch.",
        responses=FAILURES,  # type: ignore[arg-type]
        default_response_class=SafeJSONResponse,
        docs_url=None,
        redoc_url=None,
    )

    @app.post("/v1/classify", tags=["inference"], response_model_exclude_none=True)
    async def classify(request: ClassifyRequest) -> ClassifyResponse:
        """Classify texts with one adapter, or rows with an adapter each, in the order given."""
        engine = host().engine
        writers = {m.name for m in engine.manifests() if isinstance(m, TranslationManifest)}
        rows = [_reading(row, writers) for row in read_rows(request, partial(check_count, host()))]
        answers = await answer(host(), rows, request.top_k)
        first = answers[0] if answers and request.rows is None else None
        if isinstance(first, UnknownAdapter) or (
            request.texts is None and isinstance(first, PolygraftError)
        ):
            raise first  # one adapter or one text for the whole request: its error is the request's
        return ClassifyResponse(results=results(rows, answers))

    @app.post("/v1/batch", tags=["inference"], response_model_exclude_none=True)
    async def batch(request: BatchRequest) -> ClassifyResponse:
        """Rows of any task, each with its own adapter, answered together in the order given."""
        check_count(host(), len(request.rows))
        rows = [read_row(row) for row in request.rows]
        return ClassifyResponse(results=results(rows, await answer(host(), rows, request.top_k)))

    app.include_router(pages.router())
    app.include_router(translate.router(host))
    app.include_router(libretranslate.router(host))

    @app.get("/v1/adapters", tags=["adapters"])
    async def list_adapters() -> AdaptersResponse:
        """Adapters that are served, and those in the library that were refused, with the reason."""
        engine = host().engine
        refused = [
            Refused(name=n, error=ErrorBody.model_validate(e.payload()))
            for n, e in sorted(host().refused.items())
        ]
        adapters = [_adapter_out(m) for m in engine.manifests()]
        return AdaptersResponse(
            adapters=adapters,
            refused=refused,
            free_slots=engine.bank.free,
            backbone=engine.card.backbone,
        )

    upload = {
        "requestBody": {
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
        }
    }

    @app.post(
        "/v1/adapters", tags=["adapters"], status_code=201, openapi_extra=upload, dependencies=ADMIN
    )
    async def add_adapter(request: Request) -> AdapterOut:
        """Serve a new adapter, or a new version of one, without a restart. Body: the adapter folder
        as a zip."""
        auth.authorise(request.headers)
        manifest = await run_in_threadpool(host().add, await request.body())
        return _adapter_out(manifest)

    @app.delete("/v1/adapters/{name}", tags=["adapters"], dependencies=ADMIN)
    def remove_adapter(name: str, request: Request, purge: bool = False) -> AdapterOut:
        """Stop serving an adapter. `purge=true` deletes it from the library too; otherwise a
        restart brings it back."""
        auth.authorise(request.headers)
        manifest = host().remove(name, purge=purge)
        return _adapter_out(manifest)

    tell_errors(app)
    # From the inside out: what a request passes last stands first.
    app.add_middleware(LastResort)
    app.add_middleware(Door, admission=lambda: host().engine.admission, spared="/v1/adapters")
    app.add_middleware(
        BodyLimit,
        largest=lambda: host().settings.max_body_mib * 2**20,
        by_path={"/v1/adapters": MAX_UPLOAD},
    )
    app.add_middleware(CancelOnDisconnect)
    app.add_middleware(RequestMetrics)
    return app


def _reading(row: Row | PolygraftError, writers: set[str]) -> Row | PolygraftError:
    if isinstance(row, Row) and row.adapter in writers:
        return InvalidRow(
            f"adapter {row.adapter!r} translates; send the text to /v1/translate, or the row to "
            "/v1/batch"
        )
    return row


def _adapter_out(manifest: Manifest) -> AdapterOut:
    shown = set(AdapterOut.model_fields)
    return AdapterOut.model_validate(
        manifest.model_dump(include=shown) | {"version": manifest.version}
    )
