"""`/v1/adapters`: which adapters are served, and their coming and going while the server runs."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBearer

from polygraft.serve import auth
from polygraft.serve.host import Host
from polygraft.serve.schemas.adapters import AdapterOut, AdaptersResponse, Refused, adapter_out
from polygraft.serve.schemas.errors import ErrorBody

PATH = "/v1/adapters"
# For the document, so that /docs has a place for the key; `auth.authorise` is what lets a request
# in.
ADMIN = [
    Depends(HTTPBearer(auto_error=False, description="the admin key: `polygraft key` prints it"))
]
UPLOAD = {
    "requestBody": {
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
    }
}


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["adapters"])

    @routes.get(PATH)
    async def list_adapters() -> AdaptersResponse:
        """Adapters that are served, and those in the library that were refused, with the reason."""
        engine = host().engine
        refused = [
            Refused(name=name, error=ErrorBody.model_validate(error.payload()))
            for name, error in sorted(host().refused.items())
        ]
        return AdaptersResponse(
            adapters=[adapter_out(manifest) for manifest in engine.manifests()],
            refused=refused,
            free_slots=engine.bank.free,
            backbone=engine.card.backbone,
        )

    @routes.post(PATH, status_code=201, openapi_extra=UPLOAD, dependencies=ADMIN)
    async def add_adapter(request: Request) -> AdapterOut:
        """Serve a new adapter, or a new version of one, without a restart. Body: the adapter folder
        as a zip."""
        auth.authorise(request.headers)
        return adapter_out(await run_in_threadpool(host().add, await request.body()))

    @routes.delete(f"{PATH}/{{name}}", dependencies=ADMIN)
    def remove_adapter(name: str, request: Request, purge: bool = False) -> AdapterOut:
        """Stop serving an adapter. `purge=true` deletes it from the library too; otherwise a
        restart brings it back."""
        auth.authorise(request.headers)
        return adapter_out(host().remove(name, purge=purge))

    return routes
