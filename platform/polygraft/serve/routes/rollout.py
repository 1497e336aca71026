"""`/v1/adapters/{name}/...`: which version of a name is served, to whom, and since when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request

from polygraft.adapters.pointer import CANDIDATE, CHAMPION
from polygraft.serve import auth
from polygraft.serve.host import Host
from polygraft.serve.routes.adapters import ADMIN, PATH
from polygraft.serve.schemas.fields import MAX_NAME
from polygraft.serve.schemas.rollout import (
    ChangeIn,
    CompareResponse,
    HistoryResponse,
    PromoteIn,
    RouteIn,
    RouteOut,
    comparison_out,
    route_out,
)

NAME = f"{PATH}/{{name}}"
At = Annotated[str, Query(max_length=MAX_NAME, description="alias, version or its beginning")]


def router(host: Callable[[], Host]) -> APIRouter:
    """Changes run in threads: they load adapters."""
    routes = APIRouter(tags=["versions"])

    @routes.get(f"{NAME}/route")
    async def show_route(name: str) -> RouteOut:
        """What is served as `name`, and at which revision."""
        return _route(host(), name)

    @routes.put(f"{NAME}/route", dependencies=ADMIN)
    def set_route(name: str, change: RouteIn, request: Request) -> RouteOut:
        """Set aliases, and who gets which: a canary's share of the rows, a shadow. What is left out
        ends."""
        auth.authorise(request.headers)
        host().rollout.route(
            name,
            change.route,
            change.aliases,
            who=change.who,
            why=change.why,
            revision=change.revision,
        )
        return _route(host(), name)

    @routes.post(f"{NAME}/promote", dependencies=ADMIN)
    def promote(name: str, change: PromoteIn, request: Request) -> RouteOut:
        """Make a version the champion: it was loaded and has given its goldens, and answers every
        row from now on."""
        auth.authorise(request.headers)
        host().rollout.promote(
            name,
            change.version,
            who=change.who,
            why=change.why,
            revision=change.revision,
            force=change.force,
            if_agreement=change.if_agreement,
            min_rows=change.min_rows,
        )
        return _route(host(), name)

    @routes.post(f"{NAME}/rollback", dependencies=ADMIN)
    def roll_back(name: str, change: ChangeIn, request: Request) -> RouteOut:
        """End the canary; where there is none, the champion before is the champion again."""
        auth.authorise(request.headers)
        host().rollout.roll_back(name, who=change.who, why=change.why, revision=change.revision)
        return _route(host(), name)

    @routes.get(f"{NAME}/history")
    async def show_history(name: str) -> HistoryResponse:
        """Who changed what, when and why, the newest first."""
        pointer = host().rollout.names.get(name).pointer
        return HistoryResponse(name=name, history=pointer.history[::-1])

    @routes.get(f"{NAME}/compare")
    def compare(name: str, version: At = CANDIDATE, against: At = CHAMPION) -> CompareResponse:
        """Two versions by the rows that were observed since the route was set, each figure with a
        95% interval."""
        return comparison_out(name, host().rollout.compare(name, version, against))

    return routes


def _route(host: Host, name: str) -> RouteOut:
    served = host.rollout.names.get(name)
    return route_out(name, served.champion, served.pointer, served.versions)
