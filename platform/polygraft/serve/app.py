"""The HTTP app that BentoML mounts: the routes of `serve.routes`, and what every request passes on
its way to them.

BentoML's own `@bentoml.api` answers POST only and fails a whole request on one bad field; these
endpoints need GET and DELETE, errors in their row's place, and stable error bodies: `{"error":
{"code", "message", "request_id"}}`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from fastapi import FastAPI

from polygraft import __version__
from polygraft.adapters.library import MAX_UPLOAD
from polygraft.serve.cross_origin import CrossOrigin
from polygraft.serve.disconnect import CancelOnDisconnect
from polygraft.serve.door import Door
from polygraft.serve.failures import LastResort, SafeJSONResponse, tell_errors
from polygraft.serve.host import Host
from polygraft.serve.limits import BodyLimit
from polygraft.serve.metrics import RequestMetrics
from polygraft.serve.request_id import RequestId
from polygraft.serve.routes import (
    adapters,
    batch,
    classify,
    documents,
    embed,
    huggingface,
    inference_protocol,
    libretranslate,
    openai,
    operations,
    pages,
    rollout,
    stream,
    tag,
    translate,
)
from polygraft.serve.schemas.errors import ErrorResponse

FAILURES = {
    status: {"model": ErrorResponse}
    for status in (400, 403, 404, 405, 408, 409, 413, 422, 500, 503, 504, 507)
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
    app.include_router(classify.router(host))
    app.include_router(tag.router(host))
    app.include_router(batch.router(host))
    app.include_router(embed.router(host))
    app.include_router(stream.router(host))
    app.include_router(pages.router(host))
    app.include_router(operations.router())
    app.include_router(translate.router(host))
    app.include_router(documents.router(host))
    app.include_router(libretranslate.router(host))
    app.include_router(openai.router(host))
    app.include_router(huggingface.router(host))
    app.include_router(inference_protocol.router(host))
    app.include_router(adapters.router(host))
    app.include_router(rollout.router(host))
    tell_errors(app)
    # From the inside out: what a request passes last stands first.
    app.add_middleware(LastResort)
    app.add_middleware(
        Door, admission=lambda: host().engine.admission, spared={adapters.PATH, stream.PATH}
    )
    app.add_middleware(
        BodyLimit,
        largest=lambda: host().settings.max_body_mib * 2**20,
        by_path={adapters.PATH: MAX_UPLOAD, stream.PATH: sys.maxsize},
    )
    app.add_middleware(CancelOnDisconnect)
    app.add_middleware(CrossOrigin, origins=lambda: host().settings.cors_origins)
    app.add_middleware(RequestMetrics)
    app.add_middleware(RequestId)
    return app
