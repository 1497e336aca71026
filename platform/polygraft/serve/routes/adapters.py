"""`/v1/adapters`: which adapters are served, and their coming and going while the server runs."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBearer

from polygraft.adapters.manifest import Manifest
from polygraft.adapters.pointer import CHAMPION, MAX_WHY
from polygraft.serve import auth
from polygraft.serve.host import SOMEBODY, Host
from polygraft.serve.schemas.adapters import AdapterOut, AdaptersResponse, Refused, adapter_out
from polygraft.serve.schemas.errors import ErrorBody
from polygraft.serve.schemas.fields import MAX_NAME

PATH = "/v1/adapters"
MAX_PAGE = 1_000
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
    async def list_adapters(
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="adapters at most")] = MAX_PAGE,
        after: Annotated[
            str, Query(max_length=MAX_NAME, description="the `next` of the page before")
        ] = "",
    ) -> AdaptersResponse:
        """Adapters that are served, by name, a page at a time; and, on the first page, those in the
        library that were refused, with the reason."""
        engine, manifests = host().engine, host().manifests()
        start = bisect.bisect_right(manifests, after, key=lambda manifest: manifest.name)
        page = manifests[start : start + limit]
        refused = [
            Refused(name=name, error=ErrorBody.model_validate(error.payload()))
            for name, error in ([] if after else sorted(host().refused.items()))
        ]
        return AdaptersResponse(
            adapters=[_out(host(), manifest) for manifest in page],
            refused=refused,
            free_slots=engine.bank.free,
            backbone=engine.card.backbone,
            total=len(manifests),
            next=page[-1].name if start + limit < len(manifests) else None,
        )

    @routes.post(PATH, status_code=201, openapi_extra=UPLOAD, dependencies=ADMIN)
    async def add_adapter(
        request: Request,
        alias: Annotated[
            str,
            Query(
                max_length=MAX_NAME,
                description="of the version; any but champion answers only rows that name it",
            ),
        ] = CHAMPION,
        who: Annotated[str, Query(max_length=MAX_NAME)] = SOMEBODY,
        why: Annotated[str, Query(max_length=MAX_WHY)] = "",
    ) -> AdapterOut:
        """Serve a new adapter, or a new version of one, without a restart. Body: the adapter folder
        as a zip."""
        auth.authorise(request.headers)
        content = await request.body()
        add = partial(host().add, content, alias=alias, who=who, why=why)
        return _out(host(), await run_in_threadpool(add))

    @routes.delete(f"{PATH}/{{name}}", dependencies=ADMIN)
    def remove_adapter(name: str, request: Request, purge: bool = False) -> AdapterOut:
        """Stop serving an adapter. `purge=true` deletes it from the library too; otherwise a
        restart brings it back."""
        auth.authorise(request.headers)
        return _out(host(), host().remove(name, purge=purge))

    return routes


def _out(host: Host, manifest: Manifest) -> AdapterOut:
    served = host.rollout.names.find(manifest.name)
    aliases = served.pointer.aliases if served else {}
    return adapter_out(manifest, aliases)
