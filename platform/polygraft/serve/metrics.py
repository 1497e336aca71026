"""Prometheus series of the HTTP side, by route and not by path, so that their number is bounded
whatever is asked for.

`RequestMetrics` wraps the whole app and counts; `exposition` is what `/metrics` answers with.
BentoML's own series, which have one label value a path, are switched off in `service`. Gauges of
the queue are set by whoever owns the queue.
"""

from __future__ import annotations

import time

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from polygraft.serve.disconnect import CLIENT_CLOSED_REQUEST
from polygraft.serve.tracked_send import TrackedSend

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"

REQUESTS = Counter("polygraft_requests_total", "Requests answered", ["route", "method", "status"])
SECONDS = Histogram(
    "polygraft_request_seconds",
    "Time from a request's arrival to the last byte of its answer",
    ["route", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
RESIDENT = Gauge("polygraft_resident_adapters", "Adapters in the bank")
IN_PROGRESS = Gauge("polygraft_requests_in_progress", "Requests being answered")
WAITING = Gauge("polygraft_queue_units", "Units of work under way: waiting or being computed")
CACHED = Gauge("polygraft_cached_answers", "Answers kept for texts that come again")
REPEATED = Gauge("polygraft_repeated_rows", "Rows that got an answer kept before, since the start")
CAPACITY = Gauge(
    "polygraft_queue_capacity", "Units of work that may be under way before requests are refused"
)


class RequestMetrics:
    """Counts each request under the template of the route that answered it, `other` where none
    did."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it once its answer is complete, its app has failed or its
        client is gone."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        outside = scope.get("route")  # what mounts this app, when something does
        began, tracked, failed = time.perf_counter(), TrackedSend(send), False
        IN_PROGRESS.inc()
        try:
            await self.app(scope, receive, tracked)
        except Exception:
            failed = True
            raise
        finally:
            IN_PROGRESS.dec()
            route = scope.get("route")
            template = OTHER if route is outside else getattr(route, "path", OTHER)
            method = scope["method"] if scope["method"] in METHODS else OTHER
            status = 500 if failed else tracked.status or CLIENT_CLOSED_REQUEST
            REQUESTS.labels(template, method, status).inc()
            SECONDS.labels(template, method).observe(time.perf_counter() - began)


def exposition() -> Response:
    """Every series of this process, which is the only one that answers requests."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
