"""`/metrics`, for whoever runs the server. (/livez, /readyz and /healthz are BentoML's, see
`service`.)"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from polygraft.serve.metrics import exposition


def router() -> APIRouter:
    """Not part of the API's description."""
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/metrics", methods=["GET", "HEAD"])
    async def metrics() -> Response:
        """For Prometheus."""
        return exposition()

    return routes
